#pragma once

// What a component is started with, by the LISTEN_FDS convention: descriptors from 3 on, whose
// names LISTEN_FDNAMES has, and the name of its domain.

#include "base/attempt.h"
#include "base/error.h"
#include "platform/linux/descriptor.h"

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bulkhead::component {

class Inherited
{
private:
	std::vector<std::pair<std::string, linux_host::Owned_fd>> _descriptors{};

public:
	/*
	 * Takes over what the environment names. False: nothing, or it makes no sense. "device" and
	 * "fuse" have a second part: `gate:config:device:wire:fuse:0` are four.
	 */
	bool take();

	void add(std::string name, linux_host::Owned_fd descriptor);

	/* The descriptor of a name, once. NOT_FOUND. */
	Attempt<linux_host::Owned_fd> release(std::string_view name);
};

/* The names of a list with colons, as above. */
std::vector<std::string> names_of_descriptors(std::string_view list);

/* Text in memory that somebody has sealed; mapped as long as this lives. */
class Mapped_text
{
private:
	void *_start = nullptr;
	size_t _size = 0;

public:
	Mapped_text() = default;
	/* Empty if it can't be mapped. */
	explicit Mapped_text(linux_host::Owned_fd memory);
	Mapped_text(Mapped_text &&other) noexcept
		: _start(std::exchange(other._start, nullptr)), _size(std::exchange(other._size, 0))
	{}
	Mapped_text &operator=(Mapped_text &&other) noexcept
	{
		std::swap(_start, other._start);
		std::swap(_size, other._size);
		return *this;
	}
	~Mapped_text();

	std::string_view text() const { return {static_cast<char const *>(_start), _size}; }
};

} // namespace bulkhead::component
