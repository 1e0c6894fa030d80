#pragma once

// The transport `shm`: rings in memory that both processes share, see doc/vchan.md.

#include "platform/linux/vchan/connection.h"
#include "sdk/libvchan/transport.h"

namespace bulkhead::sdk {

class Shm_transport final : public Transport
{
private:
	mutable linux_host::Connection _connection{};
	bool _adopted = false;
	uint32_t _armed = 0; // kept until there is an endpoint

	vchan::Endpoint *_endpoint() const { return _connection.endpoint(); }
	int _result(Attempt<void, linux_host::Connect_error> const &);

public:
	/* As `open_shm`: 0, or the errno; `message` has the text. */
	int open(Wanted const &);

	/* Takes up an end that a broker has made: 0, or the errno. */
	int adopt(linux_host::Channel_end);

	int fd() const override { return _connection.fd(); }
	int look() override;
	int wait(uint64_t until_us) override;
	vchan::State state() override;
	bool peer_finished() override;
	std::optional<uid_t> peer_user() const override;
	uint64_t rings() const override;
	unsigned spin() const override { return vchan::Spin::MOST; }
	std::string const &message() const override { return _connection.message(); }
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
	void close() override;
};

/* What the search for a peer has ended with, as an errno. */
int errno_of(linux_host::Connect_error);

} // namespace bulkhead::sdk
