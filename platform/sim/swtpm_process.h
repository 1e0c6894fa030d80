#pragma once

// A swtpm of one's own: started, reachable, and gone with its state when the object or the program
// ends.

#include "platform/sim/swtpm.h"

#include <string>

namespace bulkhead::sim {

class Swtpm_process
{
public:
	struct Options
	{
		std::string state{}; // directory that is kept; empty: a private one, removed at the end
		std::string program = "swtpm"; // found by PATH
		bool startup = true; // TPM2_Startup was done, as a machine's firmware does it
		unsigned start_ms = 20'000; // as long may it take until the sockets accept
	};

private:
	std::string _directory{}; // of the sockets
	std::string _message{};
	int _pid = -1;
	int _lock = -1; // on the directory: it is not abandoned

	Swtpm_error _fail(Swtpm_error error, std::string_view what, int number = 0);
	Attempt<void, Swtpm_error> _make_directory();
	Attempt<void, Swtpm_error> _spawn(Options const &options);
	Attempt<void, Swtpm_error> _check_alive();
	Attempt<void, Swtpm_error> _await_start(Options const &options);
	std::string _log() const;

public:
	Swtpm_process() = default;
	Swtpm_process(Swtpm_process const &) = delete;
	Swtpm_process &operator=(Swtpm_process const &) = delete;
	~Swtpm_process() { stop(); }

	/*
	 * Starts swtpm and returns when both sockets accept connections. It ends with the thread that
	 * called. What earlier ones have left that were killed (SIGKILL) is removed. Errors:
	 * NOT_INSTALLED, NOT_STARTED (the message has its last words), TIMEOUT, SYSTEM.
	 */
	Attempt<void, Swtpm_error> start(Options const &options);
	Attempt<void, Swtpm_error> start() { return start(Options{}); }

	/* Ends it, by SIGTERM and then by force, and removes what it left. */
	void stop();

	/* Ends it at once, as a crash would. */
	void kill();

	bool running() const { return _pid > 0; }
	int pid() const { return _pid; }

	std::string data_socket() const { return _directory + "/data"; }
	std::string control_socket() const { return _directory + "/control"; }

	/* What went wrong last, in a sentence. */
	std::string const &message() const { return _message; }
};

} // namespace bulkhead::sim
