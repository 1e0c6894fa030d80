#pragma once

// What a measurement sends bytes over: a channel, or what Linux has beside it.

#include "platform/linux/descriptor.h"
#include "tool/vchan/channel.h"

#include <cstdint>
#include <span>

namespace bulkhead::tool {

/* One end. Everything waits, but not for ever, and fails when a signal has come. */
class Wire
{
public:
	static constexpr int PATIENCE_MS = 10'000;

	virtual ~Wire() = default;

	/* All of it, or false. */
	virtual bool write(std::span<uint8_t const>) = 0;

	/* At least a byte; 0 at the end, negative if it failed. */
	virtual ssize_t read(std::span<uint8_t>) = 0;

	/* Sends no more. */
	virtual void finish() = 0;

	/* All of it, or false. */
	bool read_all(std::span<uint8_t>);
};

class Channel_wire final : public Wire
{
private:
	Channel _channel;

public:
	explicit Channel_wire(Channel channel) : _channel(std::move(channel)) {}

	bool write(std::span<uint8_t const>) override;
	ssize_t read(std::span<uint8_t>) override;
	void finish() override;
};

/* Two pipes, two eventfds, or a socket twice. */
class Descriptor_wire final : public Wire
{
private:
	linux_host::Owned_fd _in;
	linux_host::Owned_fd _out;

public:
	Descriptor_wire(linux_host::Owned_fd in, linux_host::Owned_fd out)
		: _in(std::move(in)), _out(std::move(out))
	{}

	bool write(std::span<uint8_t const>) override;
	ssize_t read(std::span<uint8_t>) override;
	void finish() override;
};

} // namespace bulkhead::tool
