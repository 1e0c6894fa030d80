#pragma once

// The register file of a TPM 2.0 with the FIFO interface, as software sees it on a bus: TCG PC
// Client Platform TPM Profile (PTP) 1.05, section 6. What it doesn't have: the CRB, the hash
// registers of locality 4, and TPM_DATA_CSUM, which the profile defines for I²C only.

#include "platform/sim/tpm_backend.h"
#include "platform/sim/tpm_faults.h"

#include <array>
#include <cstdint>

namespace bulkhead::sim {

/*
 * Offsets within a locality's 4 KiB, and bits. They are written down apart from those of the
 * driver, so that a slip in either is found.
 */
namespace ptp {

inline constexpr uint16_t TPM_ACCESS = 0x000;
inline constexpr uint16_t TPM_INT_ENABLE = 0x008;
inline constexpr uint16_t TPM_INT_VECTOR = 0x00c;
inline constexpr uint16_t TPM_INT_STATUS = 0x010;
inline constexpr uint16_t TPM_INTF_CAPABILITY = 0x014;
inline constexpr uint16_t TPM_STS = 0x018;
inline constexpr uint16_t TPM_DATA_FIFO = 0x024;
inline constexpr uint16_t TPM_INTERFACE_ID = 0x030;
inline constexpr uint16_t TPM_XDATA_FIFO = 0x080;
inline constexpr uint16_t TPM_DID_VID = 0xf00;
inline constexpr uint16_t TPM_RID = 0xf04;

inline constexpr uint8_t ACCESS_TPM_REG_VALID_STS = 0x80;
inline constexpr uint8_t ACCESS_ACTIVE_LOCALITY = 0x20;
inline constexpr uint8_t ACCESS_BEEN_SEIZED = 0x10;
inline constexpr uint8_t ACCESS_SEIZE = 0x08;
inline constexpr uint8_t ACCESS_PENDING_REQUEST = 0x04;
inline constexpr uint8_t ACCESS_REQUEST_USE = 0x02;
inline constexpr uint8_t ACCESS_TPM_ESTABLISHMENT = 0x01;

inline constexpr uint32_t STS_TPM_FAMILY_2_0 = 1u << 26;
inline constexpr uint32_t STS_RESET_ESTABLISHMENT = 1u << 25;
inline constexpr uint32_t STS_COMMAND_CANCEL = 1u << 24;
inline constexpr unsigned STS_BURST_COUNT_SHIFT = 8;
inline constexpr uint8_t STS_VALID = 0x80;
inline constexpr uint8_t STS_COMMAND_READY = 0x40;
inline constexpr uint8_t STS_TPM_GO = 0x20;
inline constexpr uint8_t STS_DATA_AVAIL = 0x10;
inline constexpr uint8_t STS_EXPECT = 0x08;
inline constexpr uint8_t STS_SELF_TEST_DONE = 0x04;
inline constexpr uint8_t STS_RESPONSE_RETRY = 0x02;

inline constexpr uint32_t INT_GLOBAL_ENABLE = 1u << 31;
inline constexpr uint8_t INT_COMMAND_READY = 0x80;
inline constexpr uint8_t INT_LOW_LEVEL = 0x08; // typePolarity 01
inline constexpr uint8_t INT_LOCALITY_CHANGE = 0x04;
inline constexpr uint8_t INT_STS_VALID = 0x02;
inline constexpr uint8_t INT_DATA_AVAIL = 0x01;

inline constexpr uint8_t LOCALITIES = 5;

} // namespace ptp

/* Told when the chip's interrupt pin becomes asserted. Only takes note: calls nothing back. */
class Interrupt
{
protected:
	~Interrupt() = default;

public:
	virtual void asserted() = 0;
};

/*
 * What chips differ in. Delays are counted in looks that software takes at the register, so that a
 * test is the same at any speed; 0 is at once.
 */
struct Tpm_chip
{
	uint16_t vendor = 0x1014; // TPM_DID_VID: IBM, as swtpm
	uint16_t device = 0x0001;
	uint8_t revision = 0x01;
	uint16_t burst_count = 64; // bytes the FIFO takes or gives without a wait state
	bool burst_count_static = false; // TPM_INTF_CAPABILITY.BurstCountStatic
	bool ready_from_completion = true; // commandReady leads to Ready at once; else to Idle first
	uint32_t grant_polls = 0; // reads of TPM_ACCESS until a locality is granted
	uint32_t ready_polls = 0; // reads of TPM_STS until commandReady appears
	uint32_t valid_polls = 0; // reads of TPM_STS without stsValid after each change
	uint32_t execution_polls = 0; // reads of TPM_STS until dataAvail, after the backend is done
	uint32_t wait_states = 0; // inserted in each SPI frame
};

/* Of one thread. The backend outlives it. */
class Tpm_registers final : private Tpm_client
{
public:
	/* Commands and responses have at most so many bytes. */
	static constexpr size_t MESSAGE_MAX = 4096;

	/* The states of PTP 6.5.2.3, "FIFO interface state". */
	enum class State : uint8_t { IDLE, READY, RECEPTION, EXECUTION, COMPLETION };

private:
	static constexpr uint8_t NOBODY = 0xff;
	static constexpr size_t NOWHERE = SIZE_MAX;
	static constexpr size_t HEADER_SIZE = 10;

	Tpm_backend &_backend;
	Interrupt *_interrupt = nullptr;

	State _state = State::IDLE;
	uint8_t _active = NOBODY;
	uint8_t _requested = 0; // a bit per locality
	uint8_t _seized = 0; // a bit per locality
	bool _established = false;
	bool _dead = false;

	bool _valid = true; // stsValid
	bool _busy = false; // the backend owes an answer
	bool _aborted = false; // nobody wants that answer
	bool _answered = false; // it is there, but not shown yet
	bool _ready_wanted = false; // commandReady was written and isn't set yet
	bool _refused = false; // the header announced a size that no command has
	uint32_t _polls_to_valid = 0;
	uint32_t _polls_to_ready = 0;
	uint32_t _polls_to_complete = 0;
	uint32_t _polls_to_grant = 0;

	uint32_t _int_enable = ptp::INT_LOW_LEVEL;
	uint8_t _int_status = 0;

	// Faults that struck the command that goes on: a bit for each.
	enum Struck : uint16_t {
		BURST_ONE = 1 << 0,
		BURST_ZERO = 1 << 1,
		EXPECT_LOW = 1 << 2,
		EXPECT_HIGH = 1 << 3,
		STATUS_INVALID = 1 << 4,
		BYTE_LOST = 1 << 5,
		DROPPED = 1 << 6,
		UNTIL_CANCEL = 1 << 7,
		HELD = 1 << 8, // the response waits for commandCancel
	};

	uint16_t _struck = 0;
	bool _begun = false; // it is settled which faults this command meets
	uint32_t _burst_zero_polls = 0;
	size_t _lose_at = NOWHERE; // the byte of the response that gets lost

	size_t _size = 0; // of the command as announced, or of the response
	size_t _at = 0; // bytes received, or read
	std::array<uint8_t, MESSAGE_MAX> _message{};

	void response(Bytes response) override;
	void failed() override { _dead = true; }

	using Moment = Tpm_faults::Moment;

	void _begin_command();
	void _end_command();
	bool _disturb(Moment moment);
	uint32_t _disturbed_status(uint32_t value);
	void _disturb_response();
	void _lose_byte();

	void _raise(uint8_t interrupt);
	void _enter(State state);
	void _want_ready();
	void _become_ready();
	void _abort();
	void _go();
	void _complete();
	void _answer(uint32_t response_code);
	void _advance();
	void _activate(uint8_t locality);
	void _leave();

	bool _expect() const { return _state == State::RECEPTION && _at < _size; }
	bool _available() const { return _state == State::COMPLETION && _left() > 0; }

	/* Bytes of the response that can still be read: a lost one can't. */
	size_t _left() const { return _size - _at - (_lose_at < _size ? 1 : 0); }
	uint32_t _burst_count() const;
	uint8_t _access(uint8_t locality);
	uint32_t _status(uint8_t locality);
	uint32_t _value(uint8_t locality, uint16_t offset);

	void _write_access(uint8_t locality, uint8_t value);
	void _write_status(uint8_t value);
	void _write_status_high(uint8_t locality, uint8_t value);
	void _write_byte(uint8_t locality, uint16_t offset, uint8_t value);
	void _announce();
	void _write_fifo(uint8_t locality, Bytes from);
	void _read_fifo(uint8_t locality, Mutable_bytes to);

	static bool _fifo(uint16_t offset)
	{
		return (offset & ~3u) == ptp::TPM_DATA_FIFO || (offset & ~3u) == ptp::TPM_XDATA_FIFO;
	}

public:
	/* May be changed at any time. */
	Tpm_chip chip;
	Tpm_faults faults{};

	explicit Tpm_registers(Tpm_backend &backend, Tpm_chip const &c = {})
		: _backend(backend), chip(c)
	{}
	Tpm_registers(Tpm_registers const &) = delete;
	Tpm_registers &operator=(Tpm_registers const &) = delete;

	/* Has the pin told of; null: nobody. */
	void connect(Interrupt *interrupt) { _interrupt = interrupt; }

	/*
	 * Reads and writes as the bus brings them. The address counts from the start of locality 0
	 * (0xD4_0000 on SPI, 0xFED4_0000 in memory). An access that begins in a FIFO stays there;
	 * another goes on to the bytes behind, but does not write beyond its register of at most four
	 * bytes. What doesn't exist reads as 0xFF, and a write to it is lost.
	 */
	void read(uint16_t address, Mutable_bytes to);
	void write(uint16_t address, Bytes from);

	/* Whether the next access to this address stays in a FIFO. */
	static bool fifo_at(uint16_t address) { return _fifo(address & 0xfff); }

	/* The chip as it is after its reset pin was asserted; what the backend does is dropped. */
	void reset();

	/* As after a D-RTM: TPM_ACCESS.tpmEstablishment reads 0. */
	void establish() { _established = true; }

	State state() const { return _state; }

	/* The locality that may use the chip, or -1. */
	int active_locality() const { return _active == NOBODY ? -1 : _active; }

	bool interrupt_asserted() const { return _int_status != 0; }

	/* Whether the backend has failed, so that every register reads 0xFF. */
	bool dead() const { return _dead; }
};

} // namespace bulkhead::sim
