module qemu-pr-helper.invalid/prhelper

go 1.19
