#include "sdk/libvchan/bench/side_of.h"

#include <array>
#include <atomic>
#include <cerrno>
#include <fcntl.h>
#include <new>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

// It needs sockaddr to be declared before.
#include <linux/vm_sockets.h>

namespace bulkhead::bench {
namespace {

class Eventfd_wire
{
private:
	int _out, _in;

public:
	Eventfd_wire(int out, int in) : _out(out), _in(in) {}

	void send(Bytes)
	{
		uint64_t const one = 1;
		if (write(_out, &one, sizeof one) != sizeof one) give_up("eventfd");
	}

	size_t receive(Mutable_bytes to)
	{
		uint64_t count;
		if (read(_in, &count, sizeof count) != sizeof count) give_up("eventfd");
		return to.size();
	}
};

struct Words
{
	alignas(128) std::atomic<uint32_t> asked{0};
	alignas(128) std::atomic<uint32_t> answered{0};
};

class Spinning_wire
{
private:
	std::atomic<uint32_t> &_out;
	std::atomic<uint32_t> const &_in;
	uint32_t _sent = 0;
	uint32_t _received = 0;

public:
	Spinning_wire(std::atomic<uint32_t> &out, std::atomic<uint32_t> const &in) : _out(out), _in(in)
	{}

	void send(Bytes) { _out.store(++_sent, std::memory_order_release); }

	size_t receive(Mutable_bytes to)
	{
		while (_in.load(std::memory_order_acquire) == _received) {}
		++_received;
		return to.size();
	}
};

class Descriptor_wire
{
private:
	int _out, _in;

public:
	Descriptor_wire(int out, int in) : _out(out), _in(in) {}

	void send(Bytes from)
	{
		while (!from.empty()) {
			ssize_t const n = write(_out, from.data(), from.size());
			if (n <= 0) give_up("write");
			from = from.subspan(static_cast<size_t>(n));
		}
	}

	size_t receive(Mutable_bytes to)
	{
		ssize_t const n = read(_in, to.data(), to.size());
		if (n <= 0) give_up("read");
		return static_cast<size_t>(n);
	}
};

/* Connected by vsock to ourselves: both ends, or none. */
bool vsock_pair(std::array<int, 2> &ends)
{
	sockaddr_vm address{};
	address.svm_family = AF_VSOCK;
	address.svm_cid = VMADDR_CID_LOCAL;
	address.svm_port = VMADDR_PORT_ANY;
	auto *const plain = reinterpret_cast<sockaddr *>(&address);
	socklen_t length = sizeof address;
	int const listener = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int const client = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
	timeval const patience{.tv_sec = 2, .tv_usec = 0};
	setsockopt(client, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT_NEW, &patience, sizeof patience);
	bool const connected = listener >= 0 && client >= 0 &&
		bind(listener, plain, sizeof address) == 0 && listen(listener, 1) == 0 &&
		getsockname(listener, plain, &length) == 0 && connect(client, plain, length) == 0;
	ends = {connected ? accept4(listener, nullptr, nullptr, SOCK_CLOEXEC) : -1, client};
	close(listener);
	if (ends[0] < 0) close(client);
	return ends[0] >= 0;
}

Way descriptor_way(char const *name, std::array<int, 2> answers, std::array<int, 2> asks)
{
	return {name, [=](bool answering) {
				auto const [out, in] = answering ? answers : asks;
				return side_of<Descriptor_wire>(out, in);
			}};
}

} // namespace

// Descriptors of a way stay open to the end of the program: there are few.

Way eventfd_way()
{
	int const question = eventfd(0, EFD_CLOEXEC), answer = eventfd(0, EFD_CLOEXEC);
	if (question < 0 || answer < 0) give_up("eventfd");
	return {"eventfd", [=](bool answers) {
				return answers ? side_of<Eventfd_wire>(answer, question)
							   : side_of<Eventfd_wire>(question, answer);
			}};
}

Way spinning_word_way()
{
	void *const page =
		mmap(nullptr, sizeof(Words), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED) give_up("mmap");
	auto *const words = new (page) Words;
	return {"two words in shared memory", [words](bool answers) {
				return answers ? side_of<Spinning_wire>(words->answered, words->asked)
							   : side_of<Spinning_wire>(words->asked, words->answered);
			}};
}

Way pipe_way(uint32_t capacity)
{
	int question[2], answer[2];
	if (pipe2(question, O_CLOEXEC) != 0 || pipe2(answer, O_CLOEXEC) != 0) give_up("pipe2");
	if (fcntl(question[1], F_SETPIPE_SZ, static_cast<int>(capacity)) < 0) give_up("F_SETPIPE_SZ");
	return descriptor_way("pipe", {answer[1], question[0]}, {question[1], answer[0]});
}

Way socketpair_way()
{
	int ends[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) give_up("socketpair");
	return descriptor_way("socketpair", {ends[0], ends[0]}, {ends[1], ends[1]});
}

std::vector<Way> vsock_way()
{
	std::array<int, 2> ends;
	if (!vsock_pair(ends)) return {};
	return {descriptor_way("vsock to oneself", {ends[0], ends[0]}, {ends[1], ends[1]})};
}

} // namespace bulkhead::bench
