// Runs a fuzz target over stored inputs where libFuzzer isn't linked, so that each compiler and
// each build checks what fuzzing once found. Arguments are files or folders of files.
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const *data, std::size_t size);
extern "C" [[gnu::weak]] int LLVMFuzzerInitialize(int *argc, char ***argv);

namespace {

void replay(std::filesystem::path const &path)
{
	std::ifstream file{path, std::ios::binary};
	std::vector<char> const text{std::istreambuf_iterator<char>{file}, {}};
	// A copy of the exact size lets the sanitizers see the first byte behind the input.
	std::vector<std::uint8_t> const input{text.begin(), text.end()};
	std::printf("%s: %zu bytes\n", path.c_str(), input.size());
	std::fflush(stdout);
	LLVMFuzzerTestOneInput(input.data(), input.size());
}

} // namespace

int main(int argc, char **argv)
{
	if (LLVMFuzzerInitialize) LLVMFuzzerInitialize(&argc, &argv);
	std::size_t count{};
	for (int i = 1; i < argc; ++i) {
		if (!std::filesystem::is_directory(argv[i])) {
			replay(argv[i]);
			++count;
			continue;
		}
		for (auto const &entry : std::filesystem::recursive_directory_iterator{argv[i]}) {
			if (!entry.is_regular_file()) continue;
			replay(entry.path());
			++count;
		}
	}
	if (count == 0) {
		std::fprintf(stderr, "no input: name files or folders of a corpus\n");
		return 1;
	}
	return 0;
}
