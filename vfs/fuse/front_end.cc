#include "vfs/fuse/front_end.h"

#include "vfs/fuse/messages.h"
#include "vfs/fuse/session.h"

#include <fcntl.h>
#include <unistd.h>

namespace bulkhead::fuse {

namespace {

// For requests to end that were cancelled, and for files to close.
constexpr uint64_t SETTLE_US = 2'000'000;

std::vector<std::string> mount_options(Front_end::Options const &options)
{
	std::vector<std::string> result{
		"default_permissions", "fsname=bulkhead", std::string("subtype=") + FUSE_SUBTYPE};
	if (options.allow_other) result.push_back("allow_other");
	return result;
}

std::optional<Problem> refused(std::string const &message, Front_end::Options const &options)
{
	// What fusermount3 has to say it has written to the standard error itself.
	std::string const why = message.empty() ? "" : ": " + message;
	if (options.allow_other && geteuid() != 0)
		return Problem{Problem::Kind::NO_PERMISSION,
			"mounting at " + options.mount_point + " for other users was refused" + why,
			"put the line user_allow_other into /etc/fuse.conf, or do without allow_other"};
	if (message.find("fusermount3") != std::string::npos && access("/bin/fusermount3", X_OK) != 0)
		return Problem{Problem::Kind::NO_FUSE, "fusermount3 is missing: " + message,
			"sudo apt-get install fuse3"};
	return Problem{Problem::Kind::NO_PERMISSION,
		"mounting at " + options.mount_point + " was refused" + why, "bulkhead doctor"};
}

} // namespace

Front_end::Front_end(linux_host::Loop &loop, Ref<vfs::Node> root, Options options)
	: _loop(loop),
	  _options(std::move(options)),
	  _session(std::make_unique<Session>(loop.executor(), std::move(root), _options.label,
		  Session::Limits{.operations = _options.requests_max}))
{}

Front_end::~Front_end()
{
	_session->drop_all();
	_unmount();
}

std::optional<Problem> Front_end::mount(Unmounted *unmounted)
{
	if (auto problem = check_fuse()) return problem;
	if (auto problem = prepare_mount_point(_options.mount_point)) return problem;
	Messages const messages;
	if (!_session->make(mount_options(_options)))
		return Problem{Problem::Kind::FAILED, "libfuse refuses: " + messages.text(), ""};
	std::string const place = real_mount_point(_options.mount_point);
	if (fuse_session_mount(_session->libfuse(), place.c_str()) != 0)
		return refused(messages.text(), _options);
	_mounted = true;
	_unmounted = unmounted;
	int const fd = fuse_session_fd(_session->libfuse());
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	Attempt<void> const added = _loop.add(*this, fd, EPOLLIN);
	if (added.ok()) return {};
	_unmount();
	return Problem{Problem::Kind::FAILED,
		"the loop can't watch FUSE: " + std::string(name_of(added.error())), ""};
}

void Front_end::ready(uint32_t)
{
	if (_session->receive()) return;
	_loop.remove(*this);
	if (_unmounted) _unmounted->unmounted();
}

void Front_end::_unmount()
{
	_loop.remove(*this);
	if (!std::exchange(_mounted, false)) return;
	fuse_session_unmount(_session->libfuse());
}

Task<void> Front_end::stop(Job &job)
{
	Clock const &clock = job.executor.clock;
	_session->cancel_all();
	(void)co_await _session->settle(job, deadline_after_us(clock.now_us(), SETTLE_US));
	_unmount();
	_session->close_all();
	(void)co_await _session->settle(job, deadline_after_us(clock.now_us(), SETTLE_US));
	_session->drop_all();
	co_return Ok{};
}

size_t Front_end::pending() const { return _session->pending(); }

size_t Front_end::open_files() const { return _session->open_files(); }

} // namespace bulkhead::fuse
