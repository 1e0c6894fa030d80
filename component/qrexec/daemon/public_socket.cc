#include "component/qrexec/daemon/public_socket.h"

#include "component/qrexec/host/log.h"
#include "component/qrexec/host/process.h"
#include "sdk/qrexec/local_socket.h"

#include <array>
#include <cerrno>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace bulkhead::qrexec {
namespace {

constexpr mode_t EVERYBODY = 0777; // who may come to the directory may come to the socket
constexpr unsigned VISITORS_MAX = 64; // at once, before others have their turn

// In one step, whatever was there. No name of a domain has the character, so it is nobody's link.
bool put_link(std::string const &target, std::string const &path)
{
	std::string const fresh = path + '~';
	unlink(fresh.c_str());
	return symlink(target.c_str(), fresh.c_str()) == 0 && rename(fresh.c_str(), path.c_str()) == 0;
}

// Unless it is another daemon's by now: that of a domain which has the name, or the id, after ours.
void remove_link(std::string const &target, std::string const &path)
{
	std::array<char, 64> found;
	ssize_t const size = readlink(path.c_str(), found.data(), found.size());
	if (size >= 0 && std::string_view(found.data(), static_cast<size_t>(size)) == target)
		::unlink(path.c_str());
}

} // namespace

std::string Public_socket::_path(std::string_view who) const
{
	return _settings.socket_directory + "/qrexec." + std::string(who);
}

std::vector<std::string> Public_socket::_links() const
{
	std::vector<std::string> links{_path(_settings.name)};
	if (!_settings.uuid.empty()) links.push_back(_path("uuid:" + _settings.uuid));
	return links;
}

bool Public_socket::open()
{
	std::string const path = _path(_id());
	int const error = listen_locally(path, EVERYBODY, _socket);
	if (error == EADDRINUSE)
		log("another daemon serves domain ", _settings.name, " already, on ", path);
	else if (error != 0)
		log("no socket ", path, ": ", errno_text(error), "; --socket-dir says where it is made");
	if (error != 0) return false;
	struct stat made{};
	_file = ::lstat(path.c_str(), &made) == 0 ? made.st_ino : 0;
	std::string const target = "qrexec." + _id();
	for (std::string const &link : _links()) {
		if (put_link(target, link)) continue;
		log("no link ", link, ": ", errno_text(errno));
	}
	_spare.reset(::open("/dev/null", O_RDONLY | O_CLOEXEC));
	if (auto const added = _loop.add(*this, _socket.value(), EPOLLIN); !added.ok()) {
		log("nobody can be heard on ", path, ": ", name_of(added.error()));
		return false;
	}
	return true;
}

void Public_socket::close()
{
	if (!_socket) return;
	_loop.remove(*this);
	for (std::string const &link : _links()) remove_link("qrexec." + _id(), link);
	std::string const path = _path(_id());
	struct stat there{};
	if (::lstat(path.c_str(), &there) == 0 && there.st_ino == _file) ::unlink(path.c_str());
	_socket.reset();
}

void Public_socket::ready(uint32_t)
{
	for (unsigned i = 0; i < VISITORS_MAX && _socket; ++i) {
		int const fd = accept4(_socket.value(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0)
			_visitors.client_came(linux_host::Owned_fd(fd));
		else if (errno == EMFILE || errno == ENFILE)
			return _turn_away();
		else if (errno != EINTR && errno != ECONNABORTED)
			return;
	}
}

void Public_socket::_turn_away()
{
	log("a client is turned away: no descriptor is left; raise the limit of open files");
	_spare.reset();
	linux_host::Owned_fd const visitor{accept4(_socket.value(), nullptr, nullptr, SOCK_CLOEXEC)};
	_spare.reset(::open("/dev/null", O_RDONLY | O_CLOEXEC));
}

} // namespace bulkhead::qrexec
