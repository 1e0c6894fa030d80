#pragma once

// A TPM on a simulated wire, its driver, and a time that passes only while everybody waits.

#include "base/sync_wait.h"
#include "driver/tpm/spi_access.h"
#include "driver/tpm/tis.h"
#include "platform/sim/tpm_wire.h"

#include <functional>
#include <gtest/gtest.h>
#include <vector>

namespace bulkhead::tpm {

using Message = std::vector<uint8_t>;

/* A command or response: header, then bytes that tell the `seed`. */
inline Message message(size_t size, uint32_t code, unsigned seed = 0)
{
	Message bytes(size);
	for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<uint8_t>(i * 7 + seed);
	Byte_writer writer{bytes};
	writer.u16_be(0x8001);
	writer.u32_be(static_cast<uint32_t>(size));
	writer.u32_be(code);
	return bytes;
}

inline constexpr uint32_t GET_RANDOM = 0x17b;
inline constexpr uint32_t CREATE_PRIMARY = 0x131;

inline Message command_of(size_t size, unsigned seed = 0, uint32_t code = GET_RANDOM)
{
	return message(size, code, seed);
}

/* What `Echo_backend` answers. */
inline Message response_to(Message command, size_t size = 0)
{
	if (size) command.resize(size, 0x5a);
	Byte_writer writer{command};
	writer.u16_be(0x8001);
	writer.u32_be(static_cast<uint32_t>(command.size()));
	writer.u32_be(0);
	return command;
}

inline Message const CANCELED = message(10, 0x909);

/* Answers each command with its own bytes, so that whatever is mixed up is seen. */
struct Echo_backend final : sim::Tpm_backend
{
	sim::Tpm_client *client = nullptr;
	Message pending{};
	bool held = false; // answers when it is told, or cancelled
	size_t response_size = 0; // 0: that of the command
	unsigned submits = 0;
	unsigned cancels = 0;

	void submit(sim::Tpm_client &from, uint8_t, Bytes bytes) override
	{
		client = &from;
		++submits;
		pending = response_to({bytes.begin(), bytes.end()}, response_size);
		if (!held) answer(pending);
	}

	void cancel() override
	{
		++cancels;
		if (client) answer(CANCELED);
	}

	void answer(Message const &response) { std::exchange(client, nullptr)->response(response); }
};

struct Fake_clock final : Clock
{
	uint64_t time_us = 1'000'000;

	uint64_t now_us() const override { return time_us; }
};

struct Chip_on_wire
{
	Echo_backend backend{};
	sim::Tpm_registers chip{backend};
	sim::Tpm_faults &faults = chip.faults;
};

struct Rig : Chip_on_wire
{
	static constexpr unsigned POLLS_MAX = 2'000'000; // a hang is told, not suffered

	Fake_clock clock{};
	Executor executor{clock};
	sim::Tpm_wire wire{};
	Event gate{};
	spi::Bus bus{wire};
	spi::Device device{bus, {}};
	Spi_access access{device};
	Tis tis;
	Job_with_arena<16384> job{executor};
	std::function<void()> on_poll{}; // told of each wait, before it goes on
	unsigned polls = 0;

	explicit Rig(Tis_config const &config = {}) : tis(access, config) { wire.attach(0, chip); }

	/* What `sync_wait` calls when nothing is ready. */
	void poll(uint64_t until_us)
	{
		if (++polls > POLLS_MAX) {
			ADD_FAILURE() << "the driver hangs";
			abort();
		}
		if (on_poll) on_poll();
		if (executor.ready()) return;
		if (gate.awaited())
			gate.raise();
		else if (until_us != NEVER_US)
			clock.time_us = std::max(clock.time_us, until_us);
	}

	template <typename T, typename E>
	Attempt<T, E> run(Task<T, E> task)
	{
		return sync_wait(job, std::move(task), [this](uint64_t until_us) { poll(until_us); });
	}

	Attempt<void, Error> start() { return run(tis.start(job)); }

	/* The response; what comes instead of it stands in `error`. */
	Message execute(Message const &command, size_t room = MESSAGE_MAX_BYTES)
	{
		Message response(room);
		uint64_t const begin_us = clock.time_us;
		Attempt<size_t, Error> const size = run(tis.execute(job, command, response));
		duration_us = clock.time_us - begin_us;
		error = size.ok() ? Error{} : size.error();
		response.resize(size.ok() ? size.value() : 0);
		return response;
	}

	/* The error that a small command ends with; `Error{}` if it goes well. */
	Error failure(size_t size = 12)
	{
		Message const response = execute(command_of(size));
		if (error == Error{}) {
			EXPECT_EQ(response, response_to(command_of(size)));
		}
		return error;
	}

	Error error{};
	uint64_t duration_us = 0; // of the last command

	/* Nobody uses the bus, and no chip is selected. */
	void expect_free_bus() const
	{
		EXPECT_FALSE(bus.busy());
		EXPECT_EQ(wire.selected(), -1);
		EXPECT_EQ(job.used(), 0u);
	}

	bool idle() const
	{
		return chip.state() == sim::Tpm_registers::State::IDLE ||
			chip.state() == sim::Tpm_registers::State::READY;
	}

	/* The next command with a chip that is healthy again works. */
	void expect_recovery()
	{
		expect_free_bus();
		faults = {};
		backend.held = false;
		EXPECT_EQ(execute(command_of(70, 3)), response_to(command_of(70, 3)))
			<< "recovery: " << name_of(error);
		expect_free_bus();
	}
};

inline std::ostream &operator<<(std::ostream &out, Error error)
{
	return out << (error == Error{} ? "no error" : name_of(error));
}

} // namespace bulkhead::tpm
