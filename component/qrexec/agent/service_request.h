#pragma once

// A call that this domain is asked to serve, from the command line to the service that was found.

#include "component/qrexec/host/service.h"
#include "rpc/qrexec/message.h"

#include <memory>
#include <string>
#include <variant>

namespace bulkhead::qrexec {

/* A command for the user's shell, not a service. */
struct Shell_command
{};

/* Stays where it is made: `command` has views of `line`. */
struct Service_request
{
	using What = std::variant<Shell_command, Found_service, Service_failure>;

	uint64_t token = 0; // the caller's
	Type type = Type::EXEC_CMDLINE; // or JUST_EXEC
	Exec_params params{}; // where its caller listens
	std::string line{};

	Command_line command{};
	What what{};

	Service_request() = default;
	Service_request(Service_request const &) = delete;
	Service_request &operator=(Service_request const &) = delete;

	/*
	 * Reads `line` (`with_user`: begins with one) and looks for the service; what is wrong ends up
	 * in `what`. Blocks for the file system only.
	 */
	void resolve(Places const &places, bool with_user);

	Found_service const *service() const { return std::get_if<Found_service>(&what); }
	Service_failure const *failure() const { return std::get_if<Service_failure>(&what); }

	/* As whom it is to run; empty: as this process. */
	std::string_view user() const;

	/* Whether a graphical session of the user has to be there before it starts. */
	bool waits_for_session() const;

	/* Whether it needs a process, and so a worker. */
	bool needs_worker() const;

	/* Whether a fork server may serve it, which may be one that knows no settings of services. */
	bool may_be_handed_over() const;

	/* For messages: the service, or the beginning of the command. */
	std::string_view name() const;
};

} // namespace bulkhead::qrexec
