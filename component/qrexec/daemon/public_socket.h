#pragma once

// Where the host's programs find a daemon: a socket by its domain's id, with links by name and
// uuid. All are there exactly as long as the daemon has an agent.

#include "component/qrexec/daemon/settings.h"
#include "component/qrexec/host/unix_server.h"

#include <optional>
#include <vector>

namespace bulkhead::qrexec {

class Public_socket final : private Unix_server::Accepted
{
public:
	class Visitors
	{
	protected:
		~Visitors() = default;

	public:
		virtual void client_came(linux_host::Owned_fd socket) = 0;
	};

private:
	linux_host::Loop &_loop;
	Settings const &_settings;
	Visitors &_visitors;
	std::optional<Unix_server> _server{};

	void accepted(Unix_server &, linux_host::Owned_fd connection) override;
	std::string _id() const { return std::to_string(_settings.domain); }
	std::string _path(std::string_view who) const;
	std::vector<std::string> _links() const;

public:
	Public_socket(linux_host::Loop &loop, Settings const &settings, Visitors &visitors)
		: _loop(loop), _settings(settings), _visitors(visitors)
	{}
	~Public_socket() { close(); }

	/* Replaces what a daemon that was killed has left. False was logged. */
	bool open();
	void close();
};

} // namespace bulkhead::qrexec
