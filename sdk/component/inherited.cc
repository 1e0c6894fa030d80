#include "sdk/component/inherited.h"

#include <charconv>
#include <cstdlib>
#include <sys/mman.h>
#include <sys/stat.h>

namespace bulkhead::component {
namespace {

using linux_host::Owned_fd;

constexpr int FIRST = 3;

std::string_view variable(char const *name)
{
	char const *const value = getenv(name);
	return value ? value : "";
}

} // namespace

std::vector<std::string> names_of_descriptors(std::string_view list)
{
	std::vector<std::string> names;
	bool goes_on = false;
	while (!list.empty()) {
		size_t const end = std::min(list.find(':'), list.size());
		std::string_view const part = list.substr(0, end);
		list.remove_prefix(std::min(end + 1, list.size()));
		if (goes_on)
			names.back().append(":").append(part);
		else
			names.emplace_back(part);
		goes_on = !goes_on && (part == "device" || part == "fuse");
	}
	return names;
}

bool Inherited::take()
{
	std::string_view const count = variable("LISTEN_FDS");
	size_t number = 0;
	auto const read = std::from_chars(count.data(), count.data() + count.size(), number);
	if (read.ec != std::errc() || read.ptr != count.data() + count.size()) return false;
	std::vector<std::string> const names = names_of_descriptors(variable("LISTEN_FDNAMES"));
	if (number == 0 || names.size() != number) return false;
	for (size_t i = 0; i < number; ++i) add(names[i], Owned_fd(FIRST + static_cast<int>(i)));
	return true;
}

void Inherited::add(std::string name, Owned_fd descriptor)
{
	_descriptors.emplace_back(std::move(name), std::move(descriptor));
}

Attempt<Owned_fd> Inherited::release(std::string_view name)
{
	for (auto &[known, descriptor] : _descriptors)
		if (descriptor && known == name) return std::move(descriptor);
	return Error::NOT_FOUND;
}

Mapped_text::Mapped_text(Owned_fd memory)
{
	struct stat file{};
	if (!memory || fstat(memory.value(), &file) != 0 || file.st_size <= 0) return;
	size_t const size = static_cast<size_t>(file.st_size);
	void *const start = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, memory.value(), 0);
	if (start == MAP_FAILED) return;
	_start = start;
	_size = size;
}

Mapped_text::~Mapped_text()
{
	if (_start) munmap(_start, _size);
}

} // namespace bulkhead::component
