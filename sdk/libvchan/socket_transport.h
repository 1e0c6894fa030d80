#pragma once

// A channel over the wire of vchan-socket: a unix stream socket that carries nothing but the bytes,
// so that a program of ours can talk to one that is linked with vchan-socket. This side behaves as
// an Endpoint does, not as vchan-socket, as far as the wire allows:
//
// - The kernel's buffer lies between the two sides, so that more than a ring can be on its way, and
//   room is that of our own ring, which fills only when the kernel takes no more, and goes on in
//   `look` and `wait`.
// - A client doesn't learn the server's sizes: its rings have 64 KiB. A wire goes both ways.
// - That the peer closed and that it died look the same (CLOSED), unless it left something unread
//   (DEAD). vchan-socket takes the end of our bytes (`finish`) for the end of the channel.

#include "sdk/libvchan/byte_queue.h"
#include "sdk/libvchan/socket_name.h"
#include "sdk/libvchan/transport.h"

#include <optional>
#include <sys/uio.h>

namespace bulkhead::sdk {

class Socket_transport final : public Transport
{
private:
	static constexpr size_t CLIENT_BYTES = 65536;
	static constexpr int CLOSE_MAX_MS = 1000;

	bool const _server;
	linux_host::Owned_fd _epoll{};
	Socket_listener _listener{};
	std::optional<Socket_search> _search{};
	linux_host::Owned_fd _socket{};
	std::unique_ptr<Byte_queue> _in{};
	std::unique_ptr<Byte_queue> _out{}; // what the kernel has not taken yet

	uint32_t _armed = 0; // of vchan::sleep_for
	uint32_t _interest = 0; // what epoll knows

	bool _finished = false; // by us: sends no more
	bool _shut_down = false; // and the peer has been told
	bool _closed = false; // by us
	bool _peer_finished = false; // sends no more
	bool _peer_closed = false; // reads no more either
	bool _peer_dead = false; // left unread what we had sent
	bool _in_ended = false; // the last byte has come
	bool _out_ended = false; // no byte will be taken
	int _error = 0; // why the search has ended
	std::string _message{};

	int _fail(int error, std::string why);
	void _adopt(linux_host::Owned_fd socket);
	int _meet();
	uint32_t _needed() const;
	void _watch(uint32_t interest);
	void _watch_too();
	void _note(uint32_t events);
	void _note_error(int number);
	void _look_at_peer();
	void _let_the_kernel_hold_more();

	Attempt<void, vchan::Error> _may_write() const;
	Attempt<void, vchan::Error> _may_read() const;
	Attempt<size_t, vchan::Error> _room();
	size_t _transmit(std::span<iovec const> pieces);
	void _flush();
	size_t _put(std::span<Bytes const> from, size_t size);
	size_t _collect(std::span<iovec const> pieces);
	void _fill(size_t wanted);
	size_t _read_directly(std::span<Mutable_bytes const> to);
	Attempt<size_t, vchan::Error> _nothing() const;
	void _linger();
	void _end();

public:
	explicit Socket_transport(bool server) : _server(server) {}
	Socket_transport(Socket_transport const &) = delete;
	Socket_transport &operator=(Socket_transport const &) = delete;
	~Socket_transport() override;

	/*
	 * Begins; once. Returns 0 or an errno: EINVAL (a domain or port below 0, sizes), ELOOP (the
	 * peer is oneself), EOPNOTSUPP (a channel that goes one way), ENOMEM, EMFILE, ENAMETOOLONG,
	 * ENOENT (no directory), EADDRINUSE, EDQUOT (limit of inotify), EACCES and what else system
	 * calls have. `message` tells more.
	 */
	int open(Wanted const &);

	int fd() const override { return _epoll.value(); }
	int look() override;
	int wait(uint64_t until_us) override;
	vchan::State state() override;
	bool peer_finished() override;
	bool delivered() override;
	std::optional<uid_t> peer_user() const override;
	std::string const &message() const override { return _message; }
	size_t read_capacity() const override;
	size_t write_capacity() const override;
	Attempt<size_t, vchan::Error> readable() override;
	Attempt<size_t, vchan::Error> writable() override;
	Attempt<size_t, vchan::Error> try_write(std::span<Bytes const>) override;
	Attempt<size_t, vchan::Error> try_send(std::span<Bytes const>) override;
	Attempt<size_t, vchan::Error> try_read(std::span<Mutable_bytes const>) override;
	Attempt<size_t, vchan::Error> try_receive(std::span<Mutable_bytes const>) override;
	Attempt<vchan::Pieces<Mutable_bytes>, vchan::Error> reserve(size_t max) override;
	void commit_written(size_t) override;
	Attempt<vchan::Pieces<Bytes>, vchan::Error> peek(size_t max) override;
	void commit_read(size_t) override;
	void arm(uint32_t reasons) override;
	void finish() override;

	/*
	 * What the kernel has not taken yet is given to it, beyond its usual limit: never lost is what
	 * fits into rings of up to 128 KiB, or of any size if the process may raise that limit
	 * (CAP_NET_ADMIN, net.core.wmem_max). Otherwise this waits up to a second for a peer that
	 * doesn't read, and what it hasn't read then is lost.
	 */
	void close() override;

	/* What the kernel has not taken yet is lost. */
	void abandon() override;
};

} // namespace bulkhead::sdk
