#include "tool/vchan/wire.h"

#include <sys/socket.h>
#include <unistd.h>

namespace bulkhead::tool {

bool Wire::read_all(std::span<uint8_t> to)
{
	while (!to.empty()) {
		ssize_t const size = read(to);
		if (size <= 0) return false;
		to = to.subspan(static_cast<size_t>(size));
	}
	return true;
}

bool Channel_wire::write(std::span<uint8_t const> from)
{
	ssize_t const size =
		bulkhead_vchan_write(_channel.get(), from.data(), from.size(), PATIENCE_MS);
	return size == static_cast<ssize_t>(from.size());
}

ssize_t Channel_wire::read(std::span<uint8_t> to)
{
	return bulkhead_vchan_read(_channel.get(), to.data(), to.size(), PATIENCE_MS);
}

void Channel_wire::finish() { bulkhead_vchan_finish(_channel.get()); }

bool Descriptor_wire::write(std::span<uint8_t const> from)
{
	while (!from.empty()) {
		ssize_t const size = ::write(_out.value(), from.data(), from.size());
		if (size <= 0) return false;
		from = from.subspan(static_cast<size_t>(size));
	}
	return true;
}

ssize_t Descriptor_wire::read(std::span<uint8_t> to)
{
	return ::read(_in.value(), to.data(), to.size());
}

void Descriptor_wire::finish()
{
	shutdown(_out.value(), SHUT_WR);
	_out.reset();
}

} // namespace bulkhead::tool
