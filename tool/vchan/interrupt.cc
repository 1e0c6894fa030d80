#include "tool/vchan/interrupt.h"

#include <cerrno>
#include <cstdint>
#include <iterator>
#include <sys/eventfd.h>

namespace bulkhead::tool {

namespace {

constexpr int SIGNALS[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};

// A handler has nothing but globals.
sig_atomic_t volatile number_of_last = 0;
sig_atomic_t volatile how_many = 0;
sig_atomic_t volatile wake = -1;

void handle(int number)
{
	int const before = errno;
	number_of_last = number;
	how_many = how_many + 1;
	eventfd_write(wake, 1);
	errno = before;
}

} // namespace

Interrupt::Interrupt() : _wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK))
{
	number_of_last = 0;
	how_many = 0;
	wake = _wake.value();
	for (size_t i = 0; i < std::size(SIGNALS); i++) {
		struct sigaction action{};
		action.sa_handler = SIGNALS[i] == SIGPIPE ? SIG_IGN : handle;
		sigaction(SIGNALS[i], nullptr, &_before[i]);
		// Who has started us with `nohup` or in the background wants it ignored.
		if (SIGNALS[i] == SIGPIPE || _before[i].sa_handler != SIG_IGN)
			sigaction(SIGNALS[i], &action, nullptr);
	}
}

Interrupt::~Interrupt()
{
	for (size_t i = 0; i < std::size(SIGNALS); i++) sigaction(SIGNALS[i], &_before[i], nullptr);
	wake = -1;
}

int Interrupt::number() const { return number_of_last; }

void Interrupt::quiet() const
{
	eventfd_t ignored = 0;
	(void)eventfd_read(_wake.value(), &ignored);
}

unsigned Interrupt::count() const { return static_cast<unsigned>(how_many); }

} // namespace bulkhead::tool
