#include "component/qrexec/daemon/public_socket.h"

#include "component/qrexec/host/log.h"
#include "component/qrexec/host/process.h"

#include <array>
#include <cerrno>
#include <unistd.h>

namespace bulkhead::qrexec {
namespace {

constexpr mode_t EVERYBODY = 0777; // who may come to the directory may come to the socket

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
	Unix_server::Accepted &visitors = *this;
	_server.emplace(_loop, visitors);
	if (!_server->start(_path(_id()), EVERYBODY).ok()) {
		log("domain ", _settings.name, ": ", _server->message(),
			"; --socket-dir says where its socket is made");
		_server.reset();
		return false;
	}
	std::string const target = "qrexec." + _id();
	for (std::string const &link : _links()) {
		if (put_link(target, link)) continue;
		log("no link ", link, ": ", errno_text(errno));
	}
	return true;
}

void Public_socket::close()
{
	if (!_server) return;
	for (std::string const &link : _links()) remove_link("qrexec." + _id(), link);
	_server.reset();
}

void Public_socket::accepted(Unix_server &, linux_host::Owned_fd connection)
{
	_visitors.client_came(std::move(connection));
}

} // namespace bulkhead::qrexec
