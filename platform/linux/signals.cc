#include "platform/linux/signals.h"

#include "platform/linux/errno.h"

#include <cerrno>
#include <pthread.h>
#include <sys/signalfd.h>
#include <unistd.h>

namespace bulkhead::linux_host {

Attempt<void> Signals::start(Loop &loop, std::initializer_list<int> signals)
{
	BULKHEAD_ASSERT(_signalfd < 0);
	sigset_t set;
	sigemptyset(&set);
	for (int const number : signals) sigaddset(&set, number);
	_signalfd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (_signalfd < 0) return error_of_errno(errno);
	pthread_sigmask(SIG_BLOCK, &set, &_before);
	Attempt<void> const added = loop.add(*this, _signalfd, EPOLLIN, Loop::Kind::BACKGROUND);
	if (added.ok()) return added;
	pthread_sigmask(SIG_SETMASK, &_before, nullptr);
	close(_signalfd);
	_signalfd = -1;
	return added;
}

Signals::~Signals()
{
	if (_signalfd < 0) return;
	if (Loop *const loop = this->loop()) loop->remove(*this);
	close(_signalfd);
	pthread_sigmask(SIG_SETMASK, &_before, nullptr);
}

void Signals::_take_one()
{
	signalfd_siginfo info;
	if (read(_signalfd, &info, sizeof(info)) == sizeof(info))
		signalled(static_cast<int>(info.ssi_signo));
}

} // namespace bulkhead::linux_host
