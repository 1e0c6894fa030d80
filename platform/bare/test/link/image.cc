// Has nothing that a bare machine could not give.

int bare_main() { return 0; }
