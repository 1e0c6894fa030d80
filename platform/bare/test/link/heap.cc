// Brings a heap along.

extern "C" [[gnu::noinline]] void *malloc(decltype(sizeof(0)) size)
{
	asm volatile("" : "+r"(size));
	return nullptr;
}

int bare_main() { return malloc(5) ? 1 : 0; }
