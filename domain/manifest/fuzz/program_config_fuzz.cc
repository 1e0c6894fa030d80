// What is read is written again as it was, and read as the same.

#include "domain/manifest/program_config.h"

#include <cstdlib>

using namespace bulkhead::domain;

extern "C" int LLVMFuzzerTestOneInput(uint8_t const *data, size_t size)
{
	auto const read = read_program_config({reinterpret_cast<char const *>(data), size});
	if (!read.ok()) return 0;
	auto const again = read_program_config(to_text(read.value()));
	if (!again.ok() || again.value() != read.value()) abort();
	return 0;
}
