// SPDX-License-Identifier: LGPL-2.1-or-later
// The manual's search: SECTIONS (index.js) has each section's heading and text. All words have to be there;
// a heading counts more than text. ?q=WORDS shows what is found as well, so that a search can be linked.
"use strict";

const MOST = 30, AROUND = 90;

function find(query) {
    const words = query.toLowerCase().split(/\s+/).filter(Boolean);
    if (!words.length)
        return [];
    const found = [];
    for (const section of SECTIONS) {
        const heading = (section.title + " " + section.heading).toLowerCase();
        const text = section.text.toLowerCase();
        let score = 0;
        for (const word of words) {
            const one = (heading.includes(word) ? 20 : 0) + Math.min(text.split(word).length - 1, 5);
            if (!one) {
                score = 0;
                break;
            }
            score += one;
        }
        if (score)
            found.push({section, score});
    }
    return found.sort((a, b) => b.score - a.score).slice(0, MOST).map((one) => one.section);
}

function element(name, text, parent) {
    const made = document.createElement(name);
    made.textContent = text;
    parent.appendChild(made);
    return made;
}

// The text around the first word that is in it.
function excerpt(text, query) {
    const at = text.toLowerCase().indexOf(query.toLowerCase().split(/\s+/)[0]);
    const begin = at > AROUND ? text.indexOf(" ", at - AROUND) + 1 : 0;
    return (begin ? "... " : "") + text.slice(begin, begin + 2 * AROUND) +
           (begin + 2 * AROUND < text.length ? " ..." : "");
}

function show(query) {
    const place = document.getElementById("search-found");
    place.replaceChildren();
    place.hidden = !query.trim();
    if (place.hidden)
        return;
    const sections = find(query);
    element("h2", sections.length ? `Found: ${query}` : `Nothing found: ${query}`, place);
    const list = element("ol", "", place);
    for (const section of sections) {
        const item = element("li", "", list);
        const link = element("a", section.heading === section.title ? section.title :
                                  `${section.title}: ${section.heading}`, item);
        link.href = `${section.page}#${section.anchor}`;
        link.addEventListener("click", () => { place.hidden = true; });
        element("p", excerpt(section.text, query), item);
    }
}

const field = document.getElementById("search-words");
field.addEventListener("input", () => show(field.value));
field.form.addEventListener("submit", (event) => event.preventDefault());
field.value = new URLSearchParams(location.search).get("q") || "";
show(field.value);

// Where there is room the contents are open.
document.querySelector("nav details").open = matchMedia("(min-width: 60em)").matches;
