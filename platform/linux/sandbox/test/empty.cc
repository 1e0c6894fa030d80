// Ends at once: what starting costs when nothing is started.
int main() { return 0; }
