#pragma once

// The one face that a character device shows, whoever uses it: a file of a VFS, a FUSE node, a
// virtio queue, a C library or a plain call. A `Char_device` is opened and yields a session per
// opener; all that belongs to an opener (a pending response, settings, the hold on a bus) lives in
// its session.
//
// See doc/decisions/0002-character-device.md for why it looks as it does.

#include "base/bytes.h"
#include "base/io.h"
#include "base/task.h"

#include <cstdint>
#include <string_view>

namespace bulkhead {

/* Who opens, and how. */
struct Opener
{
	Credentials who = {};
	bool read = true;
	bool write = true;
	bool nonblocking = false; // BUSY instead of waiting for a queued open
};

/*
 * Settings that front ends map to ioctl numbers, control files or methods. The unit is in the name.
 * A setting that a device doesn't have is NOT_SUPPORTED.
 */
enum class Setting : uint8_t {
	MODE, // SPI mode 0-3
	CLOCK_HZ,
	BITS_PER_WORD,
	LSB_FIRST, // 0 or 1
	ADDRESS, // of the device on its bus: I²C address, SPI chip select
	TEN_BIT, // 0 or 1: I²C address width
	TIMEOUT_US, // of each operation; 0: none
	RETRIES,
	LOCALITY, // of a TPM: 0-4
	HOLD_BUS, // 1: keep the bus between operations, 0: give it back
};

/* What can be asked of a device beside reading and writing. */
enum class Action : uint8_t {
	CANCEL, // give up the operation that goes on in this session, e.g. a TPM's command
	RESET, // bring the device or bus back to its state after power-on, as far as it can be
};

/* Takes what a device tells of itself: one call per line of its information directory. */
class Info_sink
{
protected:
	~Info_sink() = default;

public:
	virtual void info(std::string_view name, std::string_view value) = 0;
	virtual void counter(std::string_view name, uint64_t value) = 0;
};

/*
 * One opener's view of a device. Any number of operations may be under way; each belongs to a job
 * and is cancelled through it. Buffers live until the operation has ended.
 */
class Char_session
{
protected:
	~Char_session() = default;

public:
	/*
	 * Reads what is there: at least one byte and at most the buffer. The rest of a message stays
	 * for the next read. 0 is the end of what there is to read now (for a TPM: no response is
	 * pending). Errors: WOULD_BLOCK (nothing yet, and `io.nonblocking`), and those of the device.
	 */
	virtual Task<size_t> read(Job &job, Mutable_bytes to, Io io) = 0;

	/* Writes; for a device of messages all or nothing. Returns the bytes taken. */
	virtual Task<size_t> write(Job &job, Bytes from, Io io) = 0;

	/*
	 * Writes, then reads, as one exchange that no other opener can get between: a TPM command and
	 * its response, an I²C combined transfer. Error: TOO_LONG if the answer doesn't fit; it is then
	 * lost.
	 */
	virtual Task<size_t> transact(Job &job, Bytes out, Mutable_bytes in) = 0;

	/* The value of a setting. Error: NOT_SUPPORTED. */
	virtual Attempt<uint64_t> setting(Setting) const { return Error::NOT_SUPPORTED; }

	/* Changes a setting. Errors: NOT_SUPPORTED, INVALID (value), DENIED (by the opener's policy).
	 */
	virtual Task<void> set(Job &, Setting, uint64_t) { return Error::NOT_SUPPORTED; }

	virtual Task<void> act(Job &, Action) { return Error::NOT_SUPPORTED; }

	/* Whether `read` and `write` would go ahead without waiting. Does not block. */
	virtual Readiness readiness() const = 0;

	/* Has the watcher told of changes of `readiness` until it leaves. */
	virtual void watch(Watcher &watcher) = 0;

	/*
	 * Ends the session: gives up what goes on, releases what it holds. The caller has ended its
	 * other operations. The session no longer exists when the task has ended, whatever its result.
	 */
	virtual Task<void> close(Job &job) = 0;
};

class Char_device
{
protected:
	~Char_device() = default;

public:
	/* Class of the device, e.g. "tpm", "spi". */
	virtual std::string_view kind() const = 0;

	/*
	 * Opens a session; the device owns it. Errors: BUSY (opened exclusively, or no free session),
	 * DENIED, and those of the device. A device with queued opens waits for its turn.
	 */
	virtual Task<Char_session *> open(Job &job, Opener const &opener) = 0;

	/* Tells what the device is (limits, identity) and what it has counted. Does not block. */
	virtual void describe(Info_sink &sink) const = 0;

	/* The settings that `Char_session::setting` knows, for control files. */
	virtual std::span<Setting const> settings() const { return {}; }
};

/* The names of settings as they appear in control files. */
constexpr std::string_view name_of(Setting setting)
{
	switch (setting) {
	case Setting::MODE: return "mode";
	case Setting::CLOCK_HZ: return "clock_hz";
	case Setting::BITS_PER_WORD: return "bits_per_word";
	case Setting::LSB_FIRST: return "lsb_first";
	case Setting::ADDRESS: return "address";
	case Setting::TEN_BIT: return "ten_bit";
	case Setting::TIMEOUT_US: return "timeout_us";
	case Setting::RETRIES: return "retries";
	case Setting::LOCALITY: return "locality";
	case Setting::HOLD_BUS: return "hold_bus";
	}
	return "";
}

} // namespace bulkhead
