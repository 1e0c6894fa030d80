#pragma once

// The other side of a program under test: qrexec as its specification has it, byte by byte. None of
// our libraries is used for that, so that a test compares with facts; only shared memory, which has
// no other form, goes through libvchan's C functions.

#include "platform/linux/descriptor.h"

#include <cstdint>
#include <initializer_list>
#include <iosfwd>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::qrexec::test {

using linux_host::Owned_fd;

/* Nothing takes that long: who waits longer has been forgotten. */
inline constexpr int HANG_MS = 60'000;

/* Types of messages. */
inline constexpr uint32_t DATA_STDIN = 0x190;
inline constexpr uint32_t DATA_STDOUT = 0x191;
inline constexpr uint32_t DATA_STDERR = 0x192;
inline constexpr uint32_t DATA_EXIT_CODE = 0x193;
inline constexpr uint32_t EXEC_CMDLINE = 0x200;
inline constexpr uint32_t JUST_EXEC = 0x201;
inline constexpr uint32_t SERVICE_CONNECT = 0x202;
inline constexpr uint32_t SERVICE_REFUSED = 0x203;
inline constexpr uint32_t TRIGGER_SERVICE = 0x210;
inline constexpr uint32_t CONNECTION_TERMINATED = 0x211;
inline constexpr uint32_t TRIGGER_SERVICE3 = 0x212;
inline constexpr uint32_t TRIGGER_SERVICE4 = 0x213;
inline constexpr uint32_t HELLO = 0x300;

struct Message
{
	uint32_t type;
	std::string body{};

	bool operator==(Message const &) const = default;
};

void PrintTo(Message const &message, std::ostream *to);

/* Numbers as they are on the wire; the number at a position; a text in a field of fixed size. */
std::string packed(std::initializer_list<uint32_t> numbers);
uint32_t number_at(std::string_view bytes, size_t position);
std::string field(std::string_view text, size_t size);

Message exit_code(uint32_t code);

/* Streams come in any order among each other: sorted by type, otherwise as they came. */
std::vector<Message> by_type(std::vector<Message> const &messages);

/* A service's output in one piece, whatever chunks it came in. */
struct Output
{
	std::string out{};
	std::string err{};
	bool out_ended = false;
	bool err_ended = false;
	std::optional<uint32_t> exit_code{};

	bool operator==(Output const &) const = default;
};

void PrintTo(Output const &output, std::ostream *to);

/* What carries the bytes. Nothing blocks. */
class Carrier
{
public:
	virtual ~Carrier() = default;

	/* Descriptor and events to poll for; none: it is better to try at once. */
	virtual int fd() = 0;
	virtual short wanted(bool to_write) = 0;
	virtual void woken() {}

	virtual bool joined() { return true; }
	/* Bytes; 0: the end; -1: nothing now. */
	virtual ssize_t read(char *to, size_t size) = 0;
	/* Bytes; 0: no room now; -1: the other side has gone. */
	virtual ssize_t write(char const *from, size_t size) = 0;
	virtual void end(int /*how, as of shutdown*/) {}
};

/*
 * A stream, be it a vchan, a unix socket or a pipe. What is sent goes out when there is room, while
 * one waits for whatever it may be: no order of sending and receiving leads to a deadlock. Waiting
 * in vain is a failure of the test, after which nothing waits any more.
 */
class Wire
{
private:
	std::unique_ptr<Carrier> _carrier{};
	std::string _in{};
	std::string _out{};
	bool _ended = false;

	bool _move();
	bool _wait(char const *what);

public:
	Wire() = default;
	explicit Wire(std::unique_ptr<Carrier> carrier) : _carrier(std::move(carrier)) {}
	/* A descriptor of any kind; ours from now on. */
	explicit Wire(Owned_fd fd);
	Wire(Wire &&) = default;
	Wire &operator=(Wire &&other);
	~Wire();

	/* A unix socket: the first that connects is the other side; the file is removed then. */
	static Wire listen(std::string const &path);
	/* Waits until somebody listens there. */
	static Wire connect(std::string const &path);

	/* Waits until the other side is there. False if it doesn't come. */
	bool accept();
	/* Whether it is there now. */
	bool joined() { return _carrier->joined(); }

	void send(Message const &message);
	void send(uint32_t type, std::string const &body = {}) { send(Message{type, body}); }
	void send_bytes(std::string const &bytes);
	/* Waits until all has been taken. */
	void flush();

	/* So many bytes; fewer: that was all there will be. */
	std::string receive_bytes(size_t size);
	std::string receive_rest();
	/* Nothing: the end. */
	std::optional<Message> receive();
	std::vector<Message> receive_all();
	/* To the end; anything but a service's messages is a failure. */
	Output receive_output();
	/* Waits for it; false if something else comes. */
	bool ended();

	/* Sends and expects HELLO. */
	void greet(uint32_t version = 4, uint32_t expected = 4);

	/* The other side reads what there is, and then the end. */
	void end_writing();
	/* The other side can write no more, as far as the kernel says so. */
	void end_reading();
	void close();
	explicit operator bool() const { return _carrier != nullptr; }
};

/* One end of a vchan. `transport`: "socket", as vchan-socket does it, or "shm". */
Wire vchan_server(
	char const *transport, std::string const &directory, int own, int peer, int port, size_t ring);
Wire vchan_client(char const *transport, std::string const &directory, int own, int peer, int port);

/* Waits, in the same way, until a condition holds that has no descriptor. */
bool eventually(char const *what, bool (*condition)(void *), void *argument);
template <typename CONDITION>
bool eventually(char const *what, CONDITION condition)
{
	return eventually(
		what, [](void *it) -> bool { return (*static_cast<CONDITION *>(it))(); }, &condition);
}

/* Polls one descriptor under the same rule. */
bool await(int fd, short events, char const *what);

/* A new test: patience is new as well. */
void take_new_patience();

} // namespace bulkhead::qrexec::test
