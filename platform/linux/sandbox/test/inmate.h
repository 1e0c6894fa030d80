#pragma once

// Starts a program in a sandbox and takes what it says, for tests.

#include "platform/linux/sandbox/explain/lacks.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

namespace bulkhead::linux_host {

/* Compiled once each. */
inline System_calls const *calls_of(std::vector<std::string> const &names)
{
	static std::vector<std::pair<std::vector<std::string>, System_calls>> known;
	for (auto const &[key, calls] : known)
		if (key == names) return &calls;
	std::string why;
	Attempt<System_calls> calls = compile_system_calls(names, why);
	if (!calls.ok()) {
		ADD_FAILURE() << why;
		return nullptr;
	}
	known.reserve(64);
	known.emplace_back(names, std::move(calls).value());
	return &known.back().second;
}

struct Ended
{
	std::string output{};
	int status = -1; // of waitpid
	std::string why{}; // it did not start
	Error error{};
};

/* A sandbox with what this machine has, for a static program. */
inline Sandbox sandbox_of(char const *program, std::vector<std::string> arguments,
	std::vector<std::string> const &system_calls)
{
	static std::vector<Lack> const lacks = find_lacks("");
	Sandbox sandbox;
	sandbox.executable = open(program, O_PATH | O_CLOEXEC);
	sandbox.arguments = std::move(arguments);
	sandbox.arguments.insert(sandbox.arguments.begin(), "inmate");
	sandbox.system_calls = calls_of(system_calls);
	for (Lack const &lack : lacks)
		if (lack.ability != Ability::NAMESPACES) sandbox.without.push_back(lack.ability);
	return sandbox;
}

/* Runs it to its end, and closes its executable. */
inline Ended run(Sandbox &sandbox)
{
	Ended ended;
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) != 0) return ended;
	sandbox.log = ends[1];
	Attempt<Sandboxed> started = start(sandbox, ended.why);
	close(ends[1]);
	close(sandbox.executable);
	if (started.ok()) {
		char text[4096];
		for (ssize_t bytes; (bytes = read(ends[0], text, sizeof text)) > 0;)
			ended.output.append(text, size_t(bytes));
		waitpid(started.value().pid, &ended.status, 0);
		end(started.value(), sandbox.cgroup);
	} else {
		ended.error = started.error();
	}
	close(ends[0]);
	return ended;
}

inline std::vector<std::string> lines(std::string const &text)
{
	std::vector<std::string> all;
	for (size_t at = 0; at < text.size();) {
		size_t const end = std::min(text.find('\n', at), text.size());
		all.push_back(text.substr(at, end - at));
		at = end + 1;
	}
	return all;
}

} // namespace bulkhead::linux_host
