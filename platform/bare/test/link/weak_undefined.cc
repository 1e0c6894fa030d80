// Links although what it calls does not exist.

extern "C" [[gnu::weak]] int somewhere_else();

int bare_main() { return somewhere_else(); }
