#pragma once

// A call of qrexec-client-vm, from the question to the exit code.

#include "component/qrexec/client_vm/options.h"
#include "component/qrexec/host/relay.h"
#include "platform/linux/signals.h"
#include "sdk/qrexec/call.h"

namespace bulkhead::qrexec {

/* Belongs to the loop's thread; stops the loop when there is an exit code. */
class Caller final : private linux_host::Loop::Source, private Relay::Finished
{
public:
	/* How long the service's side may take to come: upstream's. */
	static constexpr uint64_t SERVICE_WITHIN_US = 120'000'000;

private:
	/* SIGUSR1: the local program writes to its standard input. */
	class Use_stdin final : public linux_host::Signals
	{
	private:
		Caller &_caller;

		void signalled(int) override { _caller._signalled(); }

	public:
		explicit Use_stdin(Caller &caller) : _caller(caller) {}

		Attempt<void> start();
	};

	linux_host::Loop &_loop;
	Client_vm_options const &_options;
	Call _call{};
	std::optional<Local_end> _local{};
	std::optional<Relay> _relay{};
	size_t _prefix_sent = 0;
	Use_stdin _signals{*this};
	bool _use_stdin = false; // it has come
	int _exit_code = 0;
	bool _over = false;

	void ready(uint32_t) override;
	void finished(Relay &, Ending const &) override;
	void _signalled();
	bool _start_program();
	bool _send_prefix();
	void _relay_it();
	void _end(int exit_code, std::string_view message = {});
	void _failed();

public:
	Caller(linux_host::Loop &loop, Client_vm_options const &options)
		: _loop(loop), _options(options)
	{}
	~Caller() { _loop.remove(*this); }

	/* Makes the call, and returns what to exit with. */
	int run();
};

} // namespace bulkhead::qrexec
