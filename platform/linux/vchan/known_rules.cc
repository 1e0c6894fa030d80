#include "platform/linux/vchan/known_rules.h"

#include <ctime>
#include <mutex>
#include <optional>
#include <unistd.h>
#include <utility>

namespace bulkhead::linux_host {
namespace {

constexpr int64_t KNOWN_NS = 1'000'000'000;
// Times of files are those of the kernel's last tick, 10 ms at most.
constexpr int64_t RECENT_NS = 100'000'000;

int64_t in_ns(timespec const &time) { return time.tv_sec * 1'000'000'000 + time.tv_nsec; }

int64_t now_ns(clockid_t clock)
{
	timespec now{};
	clock_gettime(clock, &now);
	return in_ns(now);
}

bool same_file(struct stat const &a, struct stat const &b)
{
	return a.st_dev == b.st_dev && a.st_ino == b.st_ino && a.st_uid == b.st_uid &&
		a.st_mode == b.st_mode;
}

bool unchanged(struct stat const &a, struct stat const &b)
{
	return same_file(a, b) && a.st_nlink == b.st_nlink && a.st_size == b.st_size &&
		in_ns(a.st_mtim) == in_ns(b.st_mtim) && in_ns(a.st_ctim) == in_ns(b.st_ctim);
}

struct Known
{
	Rules_origin origin;
	std::shared_ptr<Access_rules const> rules;
	int64_t until_ns;
};

struct Memory
{
	std::mutex lock{};
	std::optional<Known> known{};
};

Memory &memory()
{
	static Memory all;
	return all;
}

} // namespace

Rules_origin::Rules_origin(struct stat const &directory, struct stat const &file)
	: _directory(directory), _file(file), _user(geteuid())
{}

bool Rules_origin::recent() const
{
	int64_t const age_ns = now_ns(CLOCK_REALTIME) - in_ns(_file.st_ctim);
	return age_ns < RECENT_NS;
}

bool Rules_origin::operator==(Rules_origin const &other) const
{
	return same_file(_directory, other._directory) && unchanged(_file, other._file) &&
		_user == other._user;
}

std::shared_ptr<Access_rules const> known_rules(Rules_origin const &origin)
{
	Memory &all = memory();
	std::lock_guard const locked(all.lock);
	bool const good =
		all.known && all.known->origin == origin && now_ns(CLOCK_MONOTONIC) < all.known->until_ns;
	return good ? all.known->rules : nullptr;
}

void remember_rules(Rules_origin const &origin, std::shared_ptr<Access_rules const> rules)
{
	Known known{origin, std::move(rules), now_ns(CLOCK_MONOTONIC) + KNOWN_NS};
	Memory &all = memory();
	std::lock_guard const locked(all.lock);
	// What it had is freed with the lock released.
	if (all.known)
		std::swap(*all.known, known);
	else
		all.known = std::move(known);
}

} // namespace bulkhead::linux_host
