// What the simulated TPM costs beside swtpm: a GetRandom as a driver does it, in 12 frames, with a
// backend that answers at once; and the same with swtpm, against swtpm's bare socket.

#include "platform/sim/swtpm_process.h"
#include "platform/sim/tpm_wire.h"

#include <benchmark/benchmark.h>
#include <cstdlib>
#include <sched.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace bulkhead::sim {
namespace {

using namespace ptp;

constexpr uint8_t GET_RANDOM[] = {0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x7b, 0, 16};

struct Instant_backend final : Tpm_backend
{
	uint8_t answer[28] = {0x80, 1, 0, 0, 0, 28};

	void submit(Tpm_client &client, uint8_t, Bytes) override { client.response(answer); }
	void cancel() override {}
};

struct No_clock final : Clock
{
	uint64_t now_us() const override { return 0; }
};

/* Software without a driver: the frames of a command, one after the other. */
class Frames
{
private:
	Tpm_wire _wire{};
	No_clock _clock{};
	Executor _executor{_clock};
	Job_with_arena<64> _job{_executor};
	spi::Chip _chip{};

	void _frame(uint8_t direction, uint16_t address, spi::Segment const &data)
	{
		uint8_t header[4] = {static_cast<uint8_t>(direction | (data.size - 1)), 0xd4,
			static_cast<uint8_t>(address >> 8), static_cast<uint8_t>(address)};
		spi::Segment const segments[] = {
			spi::Segment::in_place(header), spi::Segment::until(1, 1, 16), data};
		auto task = _wire.transfer(_job, _chip, segments, spi::After::DESELECT);
		if (!task.ready() || !task.take().ok()) abort();
	}

	void _write(uint16_t address, Bytes bytes) { _frame(0, address, spi::Segment::out(bytes)); }

	void _set(uint16_t address, uint8_t value) { _write(address, {&value, 1}); }

	uint32_t _status()
	{
		uint8_t bytes[4];
		_frame(0x80, TPM_STS, spi::Segment::in(bytes));
		return load_le<uint32_t>(bytes);
	}

public:
	explicit Frames(Tpm_registers &chip)
	{
		_wire.attach(0, chip);
		_set(TPM_ACCESS, ACCESS_REQUEST_USE);
	}

	void get_random()
	{
		uint8_t response[28];
		(void)_status();
		_set(TPM_STS, STS_COMMAND_READY);
		(void)_status();
		_write(TPM_DATA_FIFO, Bytes{GET_RANDOM}.first(11));
		(void)_status();
		_write(TPM_DATA_FIFO, Bytes{GET_RANDOM}.last(1));
		(void)_status();
		_set(TPM_STS, STS_TPM_GO);
		while (!(_status() & STS_DATA_AVAIL)) {}
		_frame(0x80, TPM_DATA_FIFO, spi::Segment::in(Mutable_bytes{response}.first(10)));
		_frame(0x80, TPM_DATA_FIFO, spi::Segment::in(Mutable_bytes{response}.last(18)));
		(void)_status();
		benchmark::DoNotOptimize(response);
	}
};

void registers_and_wire(benchmark::State &state)
{
	Instant_backend backend;
	Tpm_registers chip{backend};
	Frames frames{chip};
	for (auto _ : state) frames.get_random();
	state.SetItemsProcessed(state.iterations());
}
BENCHMARK(registers_and_wire);

/* Everything on this CPU: swtpm inherits it. */
void pin()
{
	cpu_set_t cpus;
	CPU_ZERO(&cpus);
	CPU_SET(sched_getcpu(), &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
}

void swtpm_socket(benchmark::State &state)
{
	pin();
	Swtpm_process process;
	if (!process.start().ok()) return state.SkipWithError(process.message().c_str());
	sockaddr_un address{};
	address.sun_family = AF_UNIX;
	process.data_socket().copy(address.sun_path, sizeof(address.sun_path) - 1);
	int const fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(fd, reinterpret_cast<sockaddr *>(&address), sizeof(address)) != 0) abort();
	uint8_t response[28];
	for (auto _ : state) {
		if (write(fd, GET_RANDOM, sizeof(GET_RANDOM)) != sizeof(GET_RANDOM)) abort();
		if (read(fd, response, sizeof(response)) != sizeof(response)) abort();
	}
	close(fd);
	state.SetItemsProcessed(state.iterations());
}
BENCHMARK(swtpm_socket)->UseRealTime();

void swtpm_behind_registers_and_wire(benchmark::State &state)
{
	pin();
	Swtpm_process process;
	Swtpm swtpm;
	if (!process.start().ok()) return state.SkipWithError(process.message().c_str());
	if (!swtpm.connect(process.data_socket()).ok())
		return state.SkipWithError(swtpm.message().c_str());
	swtpm.blocking = true;
	Tpm_registers chip{swtpm};
	Frames frames{chip};
	for (auto _ : state) frames.get_random();
	state.SetItemsProcessed(state.iterations());
}
BENCHMARK(swtpm_behind_registers_and_wire)->UseRealTime();

} // namespace
} // namespace bulkhead::sim
