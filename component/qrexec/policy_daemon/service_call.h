#pragma once

// Asks and tells the person at a GUI domain: one call of policy.Ask or policy.Notify, to a socket
// of this host if the GUI is here, otherwise through qrexec-client. JSON goes there, a short text
// comes back.

#include "platform/linux/descriptor.h"
#include "platform/linux/loop.h"

#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <sys/types.h>

namespace bulkhead::qrexec {

/* Programs that were started, and how they end. Of the loop's thread. */
class Children
{
private:
	class Child;

	linux_host::Loop &_loop;
	std::list<std::unique_ptr<Child>> _children;

public:
	/* Gets the exit code, or -1 after a signal. */
	class Parent
	{
	protected:
		~Parent() = default;

	public:
		virtual void exited(int code) = 0;
	};

	explicit Children(linux_host::Loop &loop);
	/* Kills those that are left. */
	~Children();

	/*
	 * Starts a program with a descriptor as its standard input and output. False if that can't be,
	 * errno says why.
	 */
	bool start(std::string const &program, std::initializer_list<std::string> arguments, int stream,
		Parent &parent);

	/* The parent has no more interest: what it has started is killed. */
	void abandon(Parent &parent);
};

/* Of the loop's thread. */
class Service_call final : private linux_host::Loop::Source, private Children::Parent
{
public:
	/* Where services of this host are, and the program that calls those of others. */
	struct Ways
	{
		std::string services = "/etc/qubes-rpc";
		std::string client = "/usr/bin/qrexec-client";
	};

	static constexpr size_t ANSWER_MAX = 4096; // bytes

	class Finished
	{
	protected:
		~Finished() = default;

	public:
		/* `trouble` is empty if there is an answer. The call may be destroyed here. */
		virtual void call_finished(std::string_view answer, std::string const &trouble) = 0;
	};

private:
	linux_host::Loop &_loop;
	Children &_children;
	Finished &_finished;
	linux_host::Owned_fd _socket{};
	std::string _to_send{};
	size_t _sent = 0;
	std::string _received{};
	bool _child = false;
	bool _ended = false; // the answer is whole
	int _code = 0;

	void ready(uint32_t events) override;
	void exited(int code) override;
	bool _send();
	bool _receive();
	void _finish(std::string const &trouble);
	std::string _connect(Ways const &, std::string_view gui_domain, std::string_view service);

public:
	Service_call(linux_host::Loop &loop, Children &children, Finished &finished);
	/* Withdraws it. */
	~Service_call();

	/* Begins; what hinders it is returned, empty if nothing does. `finished` is called later. */
	[[nodiscard]] std::string start(
		Ways const &ways, std::string_view gui_domain, std::string_view service, std::string json);
};

} // namespace bulkhead::qrexec
