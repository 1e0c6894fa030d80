#include "component/qrexec/test/wire.h"

#include "sdk/libvchan/libvchan.h"
#include "sdk/libvchan/vchan.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <iomanip>
#include <ostream>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

namespace bulkhead::qrexec::test {
namespace {

using Clock = std::chrono::steady_clock;

bool given_up = false;

int patience_ms()
{
	char const *const given = getenv("BULKHEAD_PATIENCE_MS"); // of somebody who is at the screen
	return given ? atoi(given) : HANG_MS;
}

bool set_nonblocking(int fd)
{
	int const flags = fcntl(fd, F_GETFL);
	return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0;
}

sockaddr_un address_of(std::string const &path)
{
	sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
	EXPECT_LT(path.size(), sizeof(address.sun_path)) << path;
	path.copy(address.sun_path, sizeof(address.sun_path) - 1);
	return address;
}

bool failed_for_now() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

class Fd_carrier : public Carrier
{
private:
	Owned_fd _fd;
	bool _listens;
	std::string _path;

public:
	Fd_carrier(Owned_fd fd, bool listens, std::string path = {})
		: _fd(std::move(fd)), _listens(listens), _path(std::move(path))
	{
		EXPECT_TRUE(set_nonblocking(_fd.value())) << strerror(errno);
	}

	~Fd_carrier() override
	{
		if (_listens) unlink(_path.c_str());
	}

	int fd() override { return _fd.value(); }
	short wanted(bool to_write) override { return to_write ? POLLIN | POLLOUT : POLLIN; }

	bool joined() override
	{
		if (!_listens) return true;
		Owned_fd connection(accept4(_fd.value(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
		if (!connection) return false;
		unlink(_path.c_str());
		_fd = std::move(connection);
		_listens = false;
		return true;
	}

	ssize_t read(char *to, size_t size) override
	{
		ssize_t const n = ::read(_fd.value(), to, size);
		if (n < 0 && !failed_for_now()) return 0; // reset: the end as well
		return n;
	}

	ssize_t write(char const *from, size_t size) override
	{
		ssize_t const n = ::write(_fd.value(), from, size);
		return n < 0 && failed_for_now() ? 0 : n;
	}

	void end(int how) override { EXPECT_EQ(shutdown(_fd.value(), how), 0) << strerror(errno); }
};

class Vchan_carrier : public Carrier
{
private:
	libvchan_t *_channel;
	int _search; // descriptor, while a client waits for its server

public:
	Vchan_carrier(libvchan_t *channel, int search) : _channel(channel), _search(search) {}
	~Vchan_carrier() override { libvchan_close(_channel); }

	int fd() override { return _search >= 0 ? _search : libvchan_fd_for_select(_channel); }

	short wanted(bool to_write) override
	{
		if (_search >= 0) return POLLIN;
		int const state = libvchan_is_open(_channel);
		if (state == VCHAN_DISCONNECTED) return 0;
		if (libvchan_data_ready(_channel) > 0) return 0;
		if (to_write && libvchan_buffer_space(_channel) > 0) return 0;
		return libvchan_is_open(_channel) == state ? POLLIN : 0;
	}

	void woken() override
	{
		if (_search < 0) (void)libvchan_wait(_channel);
	}

	bool joined() override
	{
		if (_search < 0) return libvchan_is_open(_channel) != VCHAN_WAITING;
		int const waiting = libvchan_client_init_async_finish(_channel, false);
		EXPECT_GE(waiting, 0) << bulkhead_vchan_last_error();
		if (waiting == 1) return false;
		_search = -1;
		return true;
	}

	ssize_t read(char *to, size_t size) override
	{
		int const n = libvchan_read(_channel, to, std::min<size_t>(size, 1 << 20));
		return n == 0 ? -1 : std::max(n, 0);
	}

	ssize_t write(char const *from, size_t size) override
	{
		return libvchan_write(_channel, from, std::min<size_t>(size, 1 << 20));
	}
};

/* What the environment says while a channel is made: this process is many domains. */
class Environment
{
public:
	Environment(char const *transport, std::string const &directory, int own)
	{
		setenv("BULKHEAD_VCHAN", transport, 1);
		setenv("BULKHEAD_VCHAN_DIR", directory.c_str(), 1);
		setenv("VCHAN_DOMAIN", std::to_string(own).c_str(), 1);
	}

	~Environment()
	{
		unsetenv("BULKHEAD_VCHAN");
		unsetenv("BULKHEAD_VCHAN_DIR");
		unsetenv("VCHAN_DOMAIN");
	}
};

std::string socket_of(std::string const &directory, int server, int client, int port)
{
	return directory + "/vchan." + std::to_string(server) + "." + std::to_string(client) + "." +
		std::to_string(port) + ".sock";
}

/* Stands for a channel that couldn't be made: it has ended. */
Wire nobody() { return Wire(Owned_fd(open("/dev/null", O_RDWR | O_CLOEXEC))); }

void print_bytes(std::string_view bytes, std::ostream &to)
{
	to << bytes.size() << " bytes \"";
	for (char const c : bytes.substr(0, 200)) {
		if (c >= ' ' && c <= '~')
			to << c;
		else
			to << "\\x" << std::hex << std::setw(2) << std::setfill('0') << (c & 0xff) << std::dec;
	}
	to << (bytes.size() > 200 ? "…\"" : "\"");
}

} // namespace

void take_new_patience() { given_up = false; }

bool await(int fd, short events, char const *what)
{
	pollfd entry{.fd = fd, .events = events, .revents = 0};
	int n = -1;
	do n = poll(&entry, 1, given_up ? 0 : patience_ms());
	while (n < 0 && errno == EINTR);
	if (n > 0) return true;
	if (!given_up) ADD_FAILURE() << "waited in vain: " << what;
	given_up = true;
	return false;
}

bool eventually(char const *what, bool (*condition)(void *), void *argument)
{
	Clock::time_point const until = Clock::now() + std::chrono::milliseconds(patience_ms());
	while (!condition(argument)) {
		if (given_up || Clock::now() > until) {
			if (!given_up) ADD_FAILURE() << "waited in vain: " << what;
			given_up = true;
			return false;
		}
		poll(nullptr, 0, 1);
	}
	return true;
}

void PrintTo(Message const &message, std::ostream *to)
{
	*to << "{0x" << std::hex << message.type << std::dec << ", ";
	print_bytes(message.body, *to);
	*to << "}";
}

void PrintTo(Output const &output, std::ostream *to)
{
	*to << "{out: ";
	print_bytes(output.out, *to);
	*to << (output.out_ended ? " ended, err: " : ", err: ");
	print_bytes(output.err, *to);
	*to << (output.err_ended ? " ended, " : ", ");
	if (output.exit_code)
		*to << "exit code " << *output.exit_code << "}";
	else
		*to << "no exit code}";
}

std::string packed(std::initializer_list<uint32_t> numbers)
{
	std::string bytes;
	for (uint32_t const number : numbers)
		for (unsigned shift = 0; shift < 32; shift += 8)
			bytes.push_back(static_cast<char>(number >> shift & 0xff));
	return bytes;
}

uint32_t number_at(std::string_view bytes, size_t position)
{
	uint32_t number = 0;
	for (size_t i = 0; i < 4 && position + i < bytes.size(); ++i)
		number |= static_cast<uint32_t>(static_cast<uint8_t>(bytes[position + i])) << 8 * i;
	return number;
}

std::string field(std::string_view text, size_t size)
{
	std::string bytes(text);
	bytes.resize(size);
	return bytes;
}

Message exit_code(uint32_t code) { return {DATA_EXIT_CODE, packed({code})}; }

std::vector<Message> by_type(std::vector<Message> const &messages)
{
	std::vector<Message> sorted;
	for (Message const &message : messages)
		sorted.insert(std::ranges::upper_bound(sorted, message.type, {}, &Message::type), message);
	return sorted;
}

Wire::Wire(Owned_fd fd) : _carrier(std::make_unique<Fd_carrier>(std::move(fd), false)) {}

Wire &Wire::operator=(Wire &&other)
{
	close();
	_carrier = std::move(other._carrier);
	_in = std::move(other._in);
	_out = std::move(other._out);
	_ended = other._ended;
	return *this;
}

Wire::~Wire() { close(); }

Wire Wire::listen(std::string const &path)
{
	Owned_fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
	sockaddr_un const address = address_of(path);
	EXPECT_EQ(bind(fd.value(), reinterpret_cast<sockaddr const *>(&address), sizeof(address)), 0)
		<< path << ": " << strerror(errno);
	EXPECT_EQ(::listen(fd.value(), 1), 0);
	return Wire(std::make_unique<Fd_carrier>(std::move(fd), true, path));
}

Wire Wire::connect(std::string const &path)
{
	sockaddr_un const address = address_of(path);
	Owned_fd fd;
	std::string const what = "somebody who listens on " + path;
	eventually(what.c_str(), [&] {
		fd = Owned_fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
		return ::connect(
				   fd.value(), reinterpret_cast<sockaddr const *>(&address), sizeof(address)) == 0;
	});
	return Wire(std::move(fd));
}

/* Moves what can be moved now; true if anything has happened. */
bool Wire::_move()
{
	bool moved = false;
	while (!_out.empty()) {
		ssize_t const n = _carrier->write(_out.data(), _out.size());
		if (n == 0) break;
		_out.erase(0, n < 0 ? _out.size() : static_cast<size_t>(n));
		moved = true;
	}
	char chunk[65536];
	while (!_ended) {
		ssize_t const n = _carrier->read(chunk, sizeof(chunk));
		if (n < 0) break;
		_ended = n == 0;
		_in.append(chunk, static_cast<size_t>(n));
		moved = true;
	}
	return moved;
}

bool Wire::_wait(char const *what)
{
	if (_move()) return true;
	short const events = _carrier->wanted(!_out.empty());
	if (events == 0) return !given_up;
	if (!await(_carrier->fd(), events, what)) return false;
	_carrier->woken();
	_move();
	return true;
}

bool Wire::accept()
{
	while (!_carrier->joined()) {
		short const events = _carrier->wanted(false);
		if (events == 0) continue;
		if (!await(_carrier->fd(), events, "the other side to come")) return false;
		_carrier->woken();
	}
	return true;
}

void Wire::send_bytes(std::string const &bytes)
{
	_out += bytes;
	_move();
}

void Wire::send(Message const &message)
{
	send_bytes(packed({message.type, static_cast<uint32_t>(message.body.size())}) + message.body);
}

void Wire::flush()
{
	while (!_out.empty() && _wait("room for what is sent")) {}
}

std::string Wire::receive_bytes(size_t size)
{
	while (_in.size() < size && !_ended)
		if (!_wait("bytes")) break;
	std::string const bytes = _in.substr(0, size);
	_in.erase(0, size);
	return bytes;
}

std::string Wire::receive_rest()
{
	while (!_ended && _wait("the end of the stream")) {}
	return std::exchange(_in, {});
}

std::optional<Message> Wire::receive()
{
	std::string const header = receive_bytes(8);
	if (header.size() < 8) {
		EXPECT_TRUE(header.empty()) << "the stream has ended within a header";
		return {};
	}
	Message message{number_at(header, 0), {}};
	uint32_t const size = number_at(header, 4);
	message.body = receive_bytes(size);
	EXPECT_EQ(message.body.size(), size) << "the stream has ended within a message";
	return message;
}

std::vector<Message> Wire::receive_all()
{
	std::vector<Message> messages;
	while (auto message = receive()) messages.push_back(std::move(*message));
	return messages;
}

Output Wire::receive_output()
{
	Output output;
	while (auto const message = receive()) {
		EXPECT_FALSE(output.exit_code) << "something comes after the exit code";
		if (message->type == DATA_EXIT_CODE) {
			EXPECT_EQ(message->body.size(), 4u);
			output.exit_code = number_at(message->body, 0);
			continue;
		}
		bool const out = message->type == DATA_STDOUT;
		EXPECT_TRUE(out || message->type == DATA_STDERR) << message->type;
		bool &ended = out ? output.out_ended : output.err_ended;
		EXPECT_FALSE(ended) << "something comes after the end of stream " << message->type;
		ended = message->body.empty();
		(out ? output.out : output.err) += message->body;
	}
	return output;
}

bool Wire::ended()
{
	while (!_ended && _in.empty())
		if (!_wait("the end of the stream")) return false;
	return _in.empty();
}

void Wire::greet(uint32_t version, uint32_t expected)
{
	send(HELLO, packed({version}));
	EXPECT_EQ(receive(), (Message{HELLO, packed({expected})}));
}

void Wire::end_writing()
{
	flush();
	_carrier->end(SHUT_WR);
}

void Wire::end_reading() { _carrier->end(SHUT_RD); }

void Wire::close()
{
	if (!_carrier) return;
	if (_carrier->joined() && !given_up) flush();
	_carrier.reset();
	_in.clear();
	_out.clear();
	_ended = false;
}

Wire vchan_server(
	char const *transport, std::string const &directory, int own, int peer, int port, size_t ring)
{
	if (std::string_view(transport) == "socket")
		return Wire::listen(socket_of(directory, own, peer, port));
	Environment const environment(transport, directory, own);
	libvchan_t *const channel = libvchan_server_init(peer, port, ring, ring);
	EXPECT_NE(channel, nullptr) << bulkhead_vchan_last_error();
	if (!channel) return nobody();
	libvchan_set_blocking(channel, false);
	return Wire(std::make_unique<Vchan_carrier>(channel, -1));
}

Wire vchan_client(char const *transport, std::string const &directory, int own, int peer, int port)
{
	if (std::string_view(transport) == "socket")
		return Wire::connect(socket_of(directory, peer, own, port));
	Environment const environment(transport, directory, own);
	EVTCHN fd = -1;
	libvchan_t *const channel = libvchan_client_init_async(peer, port, &fd);
	EXPECT_NE(channel, nullptr) << bulkhead_vchan_last_error();
	if (!channel) return nobody();
	Wire wire(std::make_unique<Vchan_carrier>(channel, fd));
	wire.accept();
	return wire;
}

} // namespace bulkhead::qrexec::test
