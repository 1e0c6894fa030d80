// Every driver on a bare machine, in the very object code that runs elsewhere: the proof that
// drivers need nothing but base. What is behind the bus is the register file that simulates a TPM
// on Linux, too, with a TPM behind it that knows two commands.

#include "base/sync_wait.h"
#include "component/tpm_random/random_source.h"
#include "driver/spi/bus.h"
#include "driver/tpm/resource_manager.h"
#include "driver/tpm/spi_access.h"
#include "driver/tpm/tis.h"
#include "driver/tpm/tpm_device.h"
#include "platform/bare/check.h"
#include "platform/bare/clock.h"
#include "platform/sim/tpm_wire.h"

namespace {

using namespace bulkhead;
using bare::Check_run;

constexpr size_t ARENA_BYTES = 8192;
constexpr uint16_t RANDOM_MAX = 32;

/* Answers GetRandom with a count, GetCapability with the list of both commands. */
class Counting_tpm final : public sim::Tpm_backend
{
private:
	uint8_t _count = 0;

	void _random(Byte_reader &parameters, Byte_writer &writer)
	{
		uint16_t const size = std::min(parameters.u16_be(), RANDOM_MAX);
		writer.u16_be(size);
		for (unsigned i = 0; i < size; ++i) writer.u8(_count++);
	}

	static void _capability(Byte_reader &parameters, Byte_writer &writer)
	{
		constexpr uint32_t TPM_CAP_COMMANDS = 2;
		uint32_t const capability = parameters.u32_be();
		writer.u8(0); // no more data
		writer.u32_be(capability);
		writer.u32_be(capability == TPM_CAP_COMMANDS ? 2 : 0);
		if (capability != TPM_CAP_COMMANDS) return;
		writer.u32_be(static_cast<uint32_t>(tpm::Command_code::GET_CAPABILITY));
		writer.u32_be(static_cast<uint32_t>(tpm::Command_code::GET_RANDOM));
	}

public:
	void submit(sim::Tpm_client &client, uint8_t, Bytes command) override
	{
		constexpr uint32_t TPM_RC_COMMAND_CODE = 0x143;
		uint8_t response[128];
		Byte_writer writer{response};
		Byte_reader reader{command};
		reader.skip(6);
		auto const code = tpm::Command_code{reader.u32_be()};
		bool const known =
			code == tpm::Command_code::GET_RANDOM || code == tpm::Command_code::GET_CAPABILITY;
		writer.u16_be(tpm::TPM_ST_NO_SESSIONS);
		writer.u32_be(0);
		writer.u32_be(known ? 0 : TPM_RC_COMMAND_CODE);
		if (code == tpm::Command_code::GET_RANDOM) _random(reader, writer);
		if (code == tpm::Command_code::GET_CAPABILITY) _capability(reader, writer);
		writer.be_at<uint32_t>(2, static_cast<uint32_t>(writer.size()));
		client.response(Bytes{response}.first(writer.size()));
	}

	void cancel() override {}
};

/* A machine with a TPM on its SPI bus. */
struct Machine
{
	bare::Monotonic_clock clock{};
	Executor executor{clock};
	Job_with_arena<ARENA_BYTES> job{executor};
	Counting_tpm tpm{};
	sim::Tpm_registers registers{tpm};
	sim::Tpm_wire wire{};
	spi::Bus bus{wire};
	spi::Device device{bus, {}};
	tpm::Spi_access access{device};
	tpm::Tis tis{access};

	Machine() { wire.attach(0, registers); }

	template <typename T, typename E>
	Attempt<T, E> run(Task<T, E> task)
	{
		return sync_wait(
			job, std::move(task), [](uint64_t until_us) { bare::idle_until_us(until_us); });
	}
};

bool counts(Bytes bytes, uint8_t from)
{
	for (uint8_t const byte : bytes)
		if (byte != from++) return false;
	return true;
}

void reads_registers(Check_run &run)
{
	Machine machine;
	machine.registers.chip.wait_states = 3;
	uint8_t id[4]{};
	auto const read =
		machine.run(machine.access.read(machine.job, uint16_t(tpm::Register::TPM_DID_VID), id));
	CHECK(run, read.ok());
	CHECK(run, load_le<uint32_t>(id) == 0x0001'1014);
	CHECK(run, machine.wire.selected() == -1 && !machine.bus.busy());
}

void holds_the_bus(Check_run &run)
{
	Machine machine;
	spi::Device other{machine.bus, {}};
	uint8_t const byte = 0;
	spi::Segment const segment = spi::Segment::out({&byte, 1});
	CHECK(run, machine.device.try_acquire().ok());
	{
		// Nobody gives the bus back, so that the wait ends by its deadline.
		Job::Deadline const deadline{machine.job, machine.clock.now_us() + 3000};
		auto const late = machine.run(other.transfer(machine.job, {&segment, 1}));
		CHECK(run, !late.ok() && late.error() == spi::Error::TIMEOUT);
	}
	CHECK(run, machine.device.release().ok());
	CHECK(run, machine.run(other.transfer(machine.job, {&segment, 1})).ok());
}

void gives_random_bytes(Check_run &run)
{
	Machine machine;
	machine.registers.chip.burst_count = 8;
	machine.registers.chip.execution_polls = 9; // long enough that the driver sleeps
	CHECK(run, machine.run(machine.tis.start(machine.job)).ok());
	uint8_t random[80]{};
	tpm_random::Random_source source{machine.tis};
	CHECK(run, machine.run(source.fill(machine.job, random)).ok());
	CHECK(run, counts(random, 0));
	CHECK(run, machine.tis.counters().commands == 3);
}

void cancels(Check_run &run)
{
	Machine machine;
	CHECK(run, machine.run(machine.tis.start(machine.job)).ok());
	uint8_t message[tpm::MESSAGE_MAX_BYTES];
	Attempt<Bytes> const command = tpm::write_get_random(message, 8);
	machine.job.cancel();
	auto const size =
		machine.run(machine.tis.execute(machine.job, command.value(), std::span(message)));
	CHECK(run, !size.ok() && size.error() == tpm::Error::CANCELLED);
	machine.job.reset();
	CHECK(run, machine.run(machine.tis.execute(machine.job, command.value(), message)).ok());
}

void is_a_character_device(Check_run &run)
{
	Machine machine;
	CHECK(run, machine.run(machine.tis.start(machine.job)).ok());
	tpm::Tpm_device device{machine.tis, tpm::Sharing::EXCLUSIVE};
	tpm::Tpm_session first{machine.executor, machine.tis, device.openers()};
	tpm::Tpm_session second{machine.executor, machine.tis, device.openers()};
	device.add(first);
	device.add(second);

	auto const opened = machine.run(device.open(machine.job, {}));
	auto const refused = machine.run(device.open(machine.job, {}));
	if (!CHECK(run, opened.ok())) return;
	CHECK(run, !refused.ok() && refused.error() == Error::BUSY);

	Char_session &session = *opened.value();
	uint8_t message[64];
	Attempt<Bytes> const command = tpm::write_get_random(message, 16);
	auto const written = machine.run(session.write(machine.job, command.value(), {}));
	CHECK(run, written.ok() && written.value() == 12);
	auto const head = machine.run(session.read(machine.job, std::span(message).first(10), {}));
	CHECK(run, head.ok() && head.value() == 10);
	auto const rest = machine.run(session.read(machine.job, message, {}));
	CHECK(run, rest.ok() && rest.value() == 18 && counts(std::span(message).subspan(2, 16), 0));
	CHECK(run, machine.run(session.close(machine.job)).ok());
}

void is_shared(Check_run &run)
{
	Machine machine;
	CHECK(run, machine.run(machine.tis.start(machine.job)).ok());
	tpm::Resource_manager manager{machine.tis};
	tpm::Space spaces[2]{tpm::Space{manager}, tpm::Space{manager}};
	uint8_t from = 0;
	for (tpm::Space &space : spaces) {
		uint8_t random[RANDOM_MAX]{};
		tpm_random::Random_source source{space};
		CHECK(run, machine.run(source.fill(machine.job, random)).ok());
		CHECK(run, counts(random, from));
		from += RANDOM_MAX;
		CHECK(run, machine.run(space.forget(machine.job)).ok());
	}
}

} // namespace

int bare_main()
{
	Check_run run;
	run.test("the SPI bus keeps a chip selected over wait states", reads_registers);
	run.test("the SPI bus is held, and a wait for it ends in time", holds_the_bus);
	run.test("the TPM driver gives random bytes", gives_random_bytes);
	run.test("the TPM driver is cancelled and goes on", cancels);
	run.test("the TPM is a character device", is_a_character_device);
	run.test("the TPM is shared through the resource manager", is_shared);
	return run.result();
}
