#pragma once

// The devices that a manifest can name. Whoever starts the drivers implements it.

#include "driver/char_device.h"

namespace bulkhead::vfs {

class Devices
{
protected:
	~Devices() = default;

public:
	/* Null if there is no such device. A device outlives the nodes that show it. */
	virtual Char_device *find(std::string_view name) = 0;

	/* The names that there are; empty from the end on. For messages. */
	virtual std::string_view name(size_t index) const = 0;
};

} // namespace bulkhead::vfs
