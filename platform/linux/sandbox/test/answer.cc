// Answers with one byte on the first descriptor that it was given, and waits for the other side to
// close it.

#include <unistd.h>

int main()
{
	char byte = 'a';
	if (write(3, &byte, 1) != 1) return 1;
	while (read(3, &byte, 1) > 0) {}
	return 0;
}
