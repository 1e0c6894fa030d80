// Needs a thread pointer.

thread_local int volatile number = 5;

int bare_main() { return number; }
