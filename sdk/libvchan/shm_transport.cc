#include "sdk/libvchan/shm_transport.h"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace bulkhead::sdk {

using linux_host::Connect_error;
using vchan::Endpoint;
using vchan::Error;
using vchan::Pieces;

int errno_of(Connect_error error)
{
	using enum Connect_error;
	switch (error) {
	case BAD_SIZE:
	case BAD_NAME: return EINVAL;
	case SELF: return ELOOP;
	case NO_DIRECTORY: return ENOENT;
	case UNSAFE_DIRECTORY: return EPERM;
	case BAD_RULES: return EUCLEAN;
	case LOCKED: return EBUSY;
	case DIRECTORY_FULL: return ENOSPC;
	case NAME_IN_USE: return EADDRINUSE;
	case NOT_ALLOWED: return EACCES;
	case PEER_VERSION: return EPROTOTYPE;
	case BAD_MESSAGE: return EBADMSG;
	case BAD_MEMORY: return EPROTO;
	case CROWDED: return ECONNREFUSED;
	case TOO_MANY_OPEN: return EMFILE;
	case TOO_MANY_WATCHES: return EDQUOT;
	case OUT_OF_MEMORY: return ENOMEM;
	case SYSTEM: return EIO;
	}
	return EIO;
}

int Shm_transport::_result(Attempt<void, Connect_error> const &result)
{
	return result.ok() ? 0 : errno_of(result.error());
}

int Shm_transport::open(Wanted const &wanted)
{
	std::string const directory =
		wanted.directory.empty() ? linux_host::Directory::default_path() : wanted.directory;
	auto const within =
		wanted.within_domain ? linux_host::Within_domain::YES : linux_host::Within_domain::NO;
	if (!wanted.server)
		return _result(
			_connection.connect({wanted.peer, wanted.own, wanted.port}, directory, within));
	// What is too large for a number of 32 bits stays too large.
	size_t const too_large = size_t{vchan::RING_MAX} + 1;
	vchan::Sizes const sizes{
		.to_client = static_cast<uint32_t>(std::min(wanted.write_bytes, too_large)),
		.to_server = static_cast<uint32_t>(std::min(wanted.read_bytes, too_large))};
	return _result(
		_connection.listen({wanted.own, wanted.peer, wanted.port}, sizes, directory, within));
}

int Shm_transport::adopt(linux_host::Channel_end end)
{
	_adopted = true;
	return _result(_connection.adopt(std::move(end)));
}

int Shm_transport::look()
{
	auto const result = _connection.look();
	if (_armed) arm(std::exchange(_armed, 0));
	return _result(result);
}

int Shm_transport::wait(uint64_t until_us)
{
	errno = 0;
	auto const result = _connection.wait(until_us);
	bool const interrupted = result.ok() && !result.value() && errno == EINTR;
	if (_armed) arm(std::exchange(_armed, 0));
	if (!result.ok()) return errno_of(result.error());
	return interrupted ? EINTR : 0;
}

vchan::State Shm_transport::state()
{
	return _endpoint() ? _endpoint()->state() : vchan::State::WAITING;
}

bool Shm_transport::peer_finished() { return _endpoint() && _endpoint()->peer_finished(); }

std::optional<uid_t> Shm_transport::peer_user() const
{
	if (_adopted || !_connection.joined()) return {};
	return _connection.peer_user();
}

uint64_t Shm_transport::rings() const { return _endpoint() ? _endpoint()->rings() : 0; }

size_t Shm_transport::read_capacity() const { return _endpoint() ? _endpoint()->in_capacity() : 0; }

size_t Shm_transport::write_capacity() const
{
	return _endpoint() ? _endpoint()->out_capacity() : 0;
}

Attempt<size_t, Error> Shm_transport::readable()
{
	if (!_endpoint()) return Error::WOULD_BLOCK;
	return TRY(_endpoint()->peek()).size();
}

Attempt<size_t, Error> Shm_transport::writable()
{
	if (!_endpoint()) return Error::WOULD_BLOCK;
	return TRY(_endpoint()->reserve()).size();
}

Attempt<size_t, Error> Shm_transport::try_write(std::span<Bytes const> from)
{
	if (!_endpoint()) return Error::WOULD_BLOCK;
	return _endpoint()->try_write(from);
}

Attempt<size_t, Error> Shm_transport::try_send(std::span<Bytes const> from)
{
	if (!_endpoint()) return Error::WOULD_BLOCK;
	return _endpoint()->try_send(from);
}

Attempt<size_t, Error> Shm_transport::try_read(std::span<Mutable_bytes const> to)
{
	if (!_endpoint()) return Error::WOULD_BLOCK;
	return _endpoint()->try_read(to);
}

Attempt<size_t, Error> Shm_transport::try_receive(std::span<Mutable_bytes const> to)
{
	if (!_endpoint()) return Error::WOULD_BLOCK;
	return _endpoint()->try_receive(to);
}

Attempt<Pieces<Mutable_bytes>, Error> Shm_transport::reserve(size_t max)
{
	if (!_endpoint()) return Error::WOULD_BLOCK;
	return _endpoint()->reserve(max);
}

void Shm_transport::commit_written(size_t n)
{
	if (_endpoint()) _endpoint()->commit_written(n);
}

Attempt<Pieces<Bytes>, Error> Shm_transport::peek(size_t max)
{
	if (!_endpoint()) return Error::WOULD_BLOCK;
	return _endpoint()->peek(max);
}

void Shm_transport::commit_read(size_t n)
{
	if (_endpoint()) _endpoint()->commit_read(n);
}

void Shm_transport::arm(uint32_t reasons)
{
	if (_endpoint())
		_endpoint()->arm(reasons);
	else
		_armed |= reasons;
}

void Shm_transport::finish()
{
	if (_endpoint()) _endpoint()->finish();
}

void Shm_transport::close()
{
	if (_endpoint()) _endpoint()->close();
}

std::unique_ptr<Transport> open_shm(Wanted const &wanted, int &error, std::string &why)
{
	auto transport = std::make_unique<Shm_transport>();
	error = transport->open(wanted);
	if (error == 0) return transport;
	why = transport->message();
	return nullptr;
}

} // namespace bulkhead::sdk
