#include "component/program/mounts.h"

#include "base/clock.h"
#include "component/qrexec/host/log.h"
#include "sdk/component/channel_stream.h"
#include "vchan/spin.h"

#include <algorithm>
#include <optional>

namespace bulkhead::component {

using qrexec::log;

namespace {

// How long a call may take; a server that is started first has that long.
constexpr uint64_t CALL_WITHIN_US = 5'000'000;
// Between two calls, twice as long after each that came to nothing.
constexpr uint64_t PAUSE_FIRST_US = 20'000;
constexpr uint64_t PAUSE_MAX_US = 2'000'000;
// One that was served for so long begins anew with the shortest.
constexpr uint64_t GOOD_AFTER_US = 10'000'000;

constexpr size_t FRAMES_BYTES = 16 * 1024;

} // namespace

class Mounts::Mount
{
private:
	Env &_env;
	std::string const _domain;
	std::string const _service;
	remote::Kernel_mount _kernel;
	Job_with_arena<FRAMES_BYTES> _job;
	std::optional<Root> _root{};
	bool _complained = false;

	// Whether it is to be tried again.
	Task<bool> _serve_once(Job &job)
	{
		qrexec::Loop_channel channel(_env.loop());
		uint64_t const until_us = deadline_after_us(_now_us(), CALL_WITHIN_US);
		auto const called = co_await _env.call(job, _domain, _service, channel, until_us);
		if (!called.ok()) {
			if (!_complained)
				log("no files from ", _domain, " (", _service, ") yet: ", name_of(called.error()));
			_complained = true;
			co_return called.error() != Error::CANCELLED;
		}
		_complained = false;
		Channel_stream stream(channel);
		auto const served = co_await _kernel.serve(job, stream);
		Error const error = served.ok() ? Error::BROKEN_PIPE : served.error();
		if (error != Error::GONE && error != Error::CANCELLED)
			log("files from ", _domain, " (", _service, ") are away: ", name_of(error));
		co_return error != Error::GONE &&error != Error::CANCELLED;
	}

	Task<void> _serve(Job &job)
	{
		uint64_t pause_us = PAUSE_FIRST_US;
		while (true) {
			uint64_t const since_us = _now_us();
			CO_TRY_ASSIGN(bool const again, co_await _serve_once(job));
			if (!again) co_return Ok{};
			if (_now_us() - since_us >= GOOD_AFTER_US) pause_us = PAUSE_FIRST_US;
			auto const waited =
				co_await _kernel.wait_without_server(job, deadline_after_us(_now_us(), pause_us));
			if (!waited.ok() && waited.error() != Error::TIMEOUT) co_return Failure{waited.error()};
			pause_us = std::min(2 * pause_us, PAUSE_MAX_US);
		}
	}

	Root _run(Job &job) { (void)co_await _serve(job); }

	uint64_t _now_us() const { return _env.loop().clock().now_us(); }

public:
	Mount(Env &env, domain::Mount const &mount, linux_host::Owned_fd fuse)
		: _env(env),
		  _domain(mount.domain),
		  _service("bulkhead.File+" + mount.name),
		  _kernel(env.loop(), std::move(fuse)),
		  _job(env.loop().executor())
	{
		_job.spin = vchan::Spin::MOST;
	}

	Attempt<void> start()
	{
		_root.emplace(_run(_job));
		return _root->start(_job);
	}
};

Mounts::Mounts(Env &env) : _env(env) {}

Mounts::~Mounts() = default;

Attempt<void> Mounts::start(std::vector<domain::Mount> const &mounts)
{
	for (unsigned i = 0; i < mounts.size(); ++i) {
		auto fuse = _env.fuse_mount(i);
		if (!fuse.ok()) return fuse.error();
		_mounts.push_back(std::make_unique<Mount>(_env, mounts[i], std::move(fuse.value())));
		TRY(_mounts.back()->start());
	}
	return Ok{};
}

} // namespace bulkhead::component
