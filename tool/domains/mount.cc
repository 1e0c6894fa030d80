#include "tool/domains/mount.h"

#include "base/sync_wait.h"
#include "component/qrexec/host/local_end.h"
#include "component/qrexec/host/process.h"
#include "platform/linux/signals.h"
#include "sdk/component/channel_stream.h"
#include "tool/domains/control.h"
#include "tool/domains/refusal.h"
#include "tool/report.h"
#include "vfs/fuse/mount_point.h"
#include "vfs/remote/mount.h"

#include <algorithm>
#include <cstdio>
#include <fmt/format.h>
#include <memory>
#include <optional>
#include <thread>

namespace bulkhead::tool {

namespace {

using linux_host::Loop;

constexpr uint64_t LOOK_AGAIN_US = 100'000;
constexpr size_t FRAME_BYTES = 64 * 1024;
constexpr size_t SAID_MAX = 256;

int trouble(std::string what, std::string remedy = {})
{
	return report({Exit::FAILURE, std::move(what), std::move(remedy)});
}

/*
 * Unmounts when we are to end, and then cancels the job that serves. In a thread: who unmounts may
 * look at the mount, which we answer.
 */
class Unmount_signals final : public linux_host::Signals, private Loop::Remote
{
private:
	std::string const _place;
	Job &_job;
	std::thread _unmounts{};

	void signalled(int) override
	{
		if (_unmounts.joinable()) return;
		_unmounts = std::thread([this] {
			if (!fuse::unmount_lazily(_place)) trouble(_place + " can't be unmounted");
			post();
		});
	}

	void posted() override { _job.cancel(); }

public:
	/* `place`: without symbolic links. */
	Unmount_signals(Loop &loop, Job &job, std::string place)
		: Remote(loop), _place(std::move(place)), _job(job)
	{}
	std::string const &place() const { return _place; }
	~Unmount_signals()
	{
		if (_unmounts.joinable()) _unmounts.join();
	}
};

/* Whether nothing is left to be served. */
bool over(Error error) { return error == Error::GONE || error == Error::CANCELLED; }

class Mounted
{
private:
	Mount_options const &_options;
	std::string const _service;
	Loop _loop{};
	Job_with_arena<FRAME_BYTES> _job{_loop.executor()};
	std::optional<remote::Kernel_mount> _mount{};
	std::optional<Control> _control{};
	std::string _said{}; // by the server, to people

	enum class After : uint8_t { LOST, REFUSED, UNMOUNTED };

	/* Asks for the files: what has become of it. */
	Or_trouble<Ok> _ask()
	{
		auto control = Control::open(_options.system);
		if (!control.ok()) return control.error();
		_control.emplace(std::move(control.value()));
		return _control->call(_options.domain, _service);
	}

	void _note(Bytes text)
	{
		_said.append(text_of(text.first(std::min(text.size(), SAID_MAX - _said.size()))));
	}

	/* The first line that the server has said, or that it gave no reason. */
	std::string _reason()
	{
		_said.resize(std::min(_said.find('\n'), _said.size()));
		qrexec::replace_characters({reinterpret_cast<uint8_t *>(_said.data()), _said.size()});
		return _said.empty() ? "it serves this no longer" : _said;
	}

	/* Passes requests until the server or the mount is gone, or the server wants no more. */
	After _serve(Control::Call call)
	{
		qrexec::Loop_channel channel(_loop);
		After after = After::LOST;
		_said.clear();
		channel.errors([this](Bytes text) { _note(text); });
		if (channel.adopt(std::move(call.end), qrexec::Side::CALLER).ok()) {
			component::Channel_stream stream(channel);
			auto const served = sync_wait(_job, _mount->serve(_job, stream), _loop);
			if (!served.ok() && over(served.error())) after = After::UNMOUNTED;
			// Who dies or is stopped leaves none.
			else if (auto const code = sync_wait(_job, channel.exit_code(_job), _loop); code.ok())
				after = After::REFUSED;
		}
		_control->ended(call.params);
		return after;
	}

	/* Lets requests wait for a while; whether the mount is gone. */
	bool _pause()
	{
		uint64_t const until_us = _loop.clock().now_us() + LOOK_AGAIN_US;
		auto const waited = sync_wait(_job, _mount->wait_without_server(_job, until_us), _loop);
		return !waited.ok() && over(waited.error());
	}

	/* Another server instead of the one that has gone; nothing: the mount is gone, too. */
	std::optional<Control::Call> _reconnect()
	{
		while (true) {
			if (_pause()) return {};
			if (!_ask().ok()) continue;
			auto call = _control->look();
			while (call.ok() && call.value().state == Control::Call::State::ASKED) {
				if (_pause()) return {};
				call = _control->look();
			}
			if (call.ok() && call.value().state == Control::Call::State::CONNECTED)
				return std::move(call.value());
		}
	}

	int _tell_refused()
	{
		std::optional<Trouble> why;
		if (std::optional<Status> const status = status_of(*_control))
			why = why_refused(*status, _options.domain, _service);
		return report(why.value_or(Trouble{Exit::FAILURE,
			fmt::format("{} refuses to serve files as '{}'", _options.domain, _options.name),
			"bulkhead ps, and bulkhead top for the reason"}));
	}

public:
	explicit Mounted(Mount_options const &options)
		: _options(options), _service("bulkhead.File+" + options.name)
	{}

	int run()
	{
		if (auto const asked = _ask(); !asked.ok()) return report(asked.error());
		auto call = _control->wait();
		if (!call.ok()) return report(call.error());
		if (call.value().state == Control::Call::State::REFUSED) return _tell_refused();
		std::string why, place = fuse::real_mount_point(_options.directory);
		linux_host::Owned_fd device = remote::mount_fuse(_options.directory,
			fmt::format("{}:{}", _options.domain, _options.name), _options.read_only,
			_options.allow_other, why);
		if (!device) return report({Exit::MOUNT_POINT, why});
		Unmount_signals signals(_loop, _job, std::move(place));
		if (!signals.start(_loop, {SIGTERM, SIGINT, SIGHUP}).ok())
			return trouble("too many open files", "ulimit -n with a larger number");
		_mount.emplace(_loop, std::move(device));
		std::optional<Control::Call> served(std::move(call.value()));
		while (served) {
			After const after = _serve(std::move(*served));
			if (after == After::UNMOUNTED) break;
			if (after == After::REFUSED) {
				fuse::unmount_lazily(signals.place());
				return trouble(fmt::format("{} doesn't serve '{}': {}", _options.domain,
								   _options.name, _reason()),
					fmt::format("bulkhead logs {}; exports are in its config", _options.domain));
			}
			fmt::print(stderr, "bulkhead: the server of {} has gone; waiting for the next\n",
				_options.directory);
			served = _reconnect();
		}
		return static_cast<int>(Exit::OK);
	}
};

} // namespace

int mount_files(Mount_options const &options)
{
	qrexec::prepare_process();
	return std::make_unique<Mounted>(options)->run();
}

} // namespace bulkhead::tool
