#pragma once

// `bulkhead.File+NAME`: each call is a client that uses the files of an export, as long as the call
// lasts. What it may do there was decided when the manifest was read.

#include "component/files/exports.h"
#include "sdk/component/env.h"

#include <set>

namespace bulkhead::files {

inline constexpr std::string_view FILE_SERVICE = "bulkhead.File";

/* Exit codes beside 0, as a shell has them. */
inline constexpr int EXIT_BROKEN = 1; // the client has broken the protocol
inline constexpr int EXIT_NOT_ALLOWED = 126;
inline constexpr int EXIT_NO_EXPORT = 127;

class File_service final : public component::Service
{
private:
	static constexpr size_t NOTED_MAX = 256;

	Executor &_executor;
	Exports const &_exports;
	Log const _log;
	std::set<std::string> _noted{}; // callers that were refused, so that none can fill the log

	Task<int> _serve(Job &, component::Incoming_call const &, Client_rule const &);
	int _refuse(component::Incoming_call const &, int exit_code, std::string const &why);

public:
	/* All of these outlive the service. The rules have their roots. */
	File_service(Executor &executor, Exports const &exports, Log log)
		: _executor(executor), _exports(exports), _log(log)
	{}

	Task<int> serve(Job &job, component::Incoming_call const &call) override;
};

} // namespace bulkhead::files
