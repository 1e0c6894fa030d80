#pragma once

// Calls that a user's fork server carries, as the program of that name does within a session.

#include "base/list.h"
#include "component/qrexec/agent/service_request.h"
#include "platform/linux/descriptor.h"
#include "platform/linux/loop.h"

#include <optional>

namespace bulkhead::qrexec {

/* Belongs to the loop's thread. */
class Fork_servers final
{
public:
	class Events
	{
	protected:
		~Events() = default;

	public:
		virtual void call_ended(uint64_t token) = 0;
	};

private:
	/* A call that was handed over: its end is that of the connection. */
	class Handed_over final : private linux_host::Loop::Source, public bulkhead::Link<Handed_over>
	{
	private:
		Fork_servers &_servers;
		linux_host::Owned_fd _socket;
		uint64_t const _token;
		std::string _to_send;

		void ready(uint32_t) override;

	public:
		Handed_over(
			Fork_servers &servers, linux_host::Owned_fd socket, Service_request const &request);
		~Handed_over() { _servers._loop.remove(*this); }

		uint64_t token() const { return _token; }
		Attempt<void> begin();
		/* False: the other side has gone. */
		bool send();
	};

	linux_host::Loop &_loop;
	std::string const _pattern;
	Events &_events;
	List<Handed_over> _calls{};

	std::optional<std::string> _path(std::string_view user) const;
	void _over(Handed_over &);

public:
	/* Where they are: the first "%s" of the path is the user; an empty one: nowhere. */
	Fork_servers(linux_host::Loop &loop, std::string pattern, Events &events);
	~Fork_servers();

	/* Leaves the calls to them: their end isn't told. */
	void leave();

	/*
	 * False: there is none for this user. One that isn't run by the user (or by ours) isn't used:
	 * in a directory of a group others could have made it.
	 */
	bool hand_over(Service_request const &request);
};

} // namespace bulkhead::qrexec
