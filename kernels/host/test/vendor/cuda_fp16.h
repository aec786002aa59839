// Stands for the header of a toolkit or of torch that is installed: the stand-ins come before it.
#error "a header that is not a stand-in is used"
