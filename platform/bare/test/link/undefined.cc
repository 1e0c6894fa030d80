// Needs a C library.

extern "C" int getpid();

int bare_main() { return getpid(); }
