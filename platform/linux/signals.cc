#include "platform/linux/signals.h"

#include "platform/linux/errno.h"

#include <cerrno>
#include <pthread.h>
#include <sys/signalfd.h>
#include <unistd.h>

namespace bulkhead::linux_host {

Owned_fd take_signals(std::initializer_list<int> signals, sigset_t *before)
{
	sigset_t set;
	sigemptyset(&set);
	for (int const number : signals) sigaddset(&set, number);
	Owned_fd made{signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)};
	if (made) pthread_sigmask(SIG_BLOCK, &set, before);
	return made;
}

int next_signal(int signals)
{
	signalfd_siginfo info;
	bool const come = read(signals, &info, sizeof(info)) == sizeof(info);
	return come ? static_cast<int>(info.ssi_signo) : 0;
}

Attempt<void> Signals::start(Loop &loop, std::initializer_list<int> signals)
{
	BULKHEAD_ASSERT(!_signals);
	_signals = take_signals(signals, &_before);
	if (!_signals) return error_of_errno(errno);
	Attempt<void> const added = loop.add(*this, _signals.value(), EPOLLIN, Loop::Kind::BACKGROUND);
	if (added.ok()) return added;
	pthread_sigmask(SIG_SETMASK, &_before, nullptr);
	_signals.reset();
	return added;
}

Signals::~Signals()
{
	if (!_signals) return;
	if (Loop *const loop = this->loop()) loop->remove(*this);
	_signals.reset();
	pthread_sigmask(SIG_SETMASK, &_before, nullptr);
}

void Signals::_take_one()
{
	if (int const number = next_signal(_signals.value())) signalled(number);
}

} // namespace bulkhead::linux_host
