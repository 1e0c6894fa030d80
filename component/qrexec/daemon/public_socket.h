#pragma once

// Where the host's programs find a daemon: a socket by its domain's id, with links by name and
// uuid. All are there exactly as long as the daemon has an agent.

#include "component/qrexec/daemon/settings.h"
#include "platform/linux/descriptor.h"
#include "platform/linux/loop.h"

#include <sys/types.h>
#include <vector>

namespace bulkhead::qrexec {

class Public_socket final : private linux_host::Loop::Source
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
	linux_host::Owned_fd _socket{};
	ino_t _file = 0; // the socket's
	linux_host::Owned_fd _spare{}; // to turn clients away with when there are too many

	void ready(uint32_t events) override;
	void _turn_away();
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
