#pragma once

// Policies and calls by chance, of words that fit together often enough to be of interest.

#include <array>
#include <cstdint>
#include <string>

namespace bulkhead::policy::test {

class Chance
{
private:
	uint64_t _state;

public:
	explicit Chance(uint64_t seed) : _state(seed * 2 + 1) {}

	size_t below(size_t limit)
	{
		_state ^= _state << 13;
		_state ^= _state >> 7;
		_state ^= _state << 17;
		return static_cast<size_t>(_state >> 11) % limit;
	}

	template <typename T, size_t N>
	T const &of(std::array<T, N> const &list)
	{
		return list[below(N)];
	}
};

inline constexpr std::array<char const *, 5> SERVICES{"a.A", "a.A", "b.B", "c.C", "*"};
inline constexpr std::array<char const *, 4> ARGUMENTS{"*", "*", "+", "+x"};
inline constexpr std::array<char const *, 17> SOURCES{"work", "web", "dom0", "bare", "lone",
	"stranger", "@adminvm", "*", "@anyvm", "@anyvm", "@tag:red", "@tag:office", "@tag:none",
	"@type:AppVM", "@type:RemoteVM", "uuid:00000000-0000-4000-8000-000000000001",
	"@dispvm:base-dvm"};
inline constexpr std::array<char const *, 22> TARGETS{"work", "web", "vault", "dom0", "hidden",
	"far", "nobody", "@adminvm", "*", "@anyvm", "@anyvm", "@default", "@default", "@dispvm",
	"@dispvm:base-dvm", "@dispvm:net-dvm", "@dispvm:@tag:red", "@tag:red", "@tag:throwaway",
	"@type:AppVM", "uuid:00000000-0000-4000-8000-000000000002",
	"@dispvm:uuid:00000000-0000-4000-8000-000000000005"};
inline constexpr std::array<char const *, 8> REDIRECTS{"web", "@dispvm", "dom0", "@adminvm",
	"@dispvm:net-dvm", "nobody", "vault", "uuid:00000000-0000-4000-8000-000000000002"};
inline constexpr std::array<char const *, 12> CALLERS{"work", "web", "bare", "lone", "odd", "lost",
	"dom0", "debian", "far", "stranger", "nobody-else",
	"uuid:00000000-0000-4000-8000-000000000001"};
inline constexpr std::array<char const *, 18> WANTED{"", "work", "web", "vault", "dom0", "hidden",
	"far", "nobody", "@adminvm", "@default", "@dispvm", "@dispvm", "@dispvm:base-dvm",
	"@dispvm:net-dvm", "@dispvm:work", "@tag:red", "uuid:00000000-0000-4000-8000-000000000002",
	"@dispvm:uuid:00000000-0000-4000-8000-000000000005"};

inline std::string random_rule(Chance &chance)
{
	std::string const service = chance.of(SERVICES);
	std::string const argument = service == "*" ? "*" : chance.of(ARGUMENTS);
	std::string const target = chance.of(TARGETS);
	std::string rule = service + " " + argument + " " + chance.of(SOURCES) + " " + target;
	switch (chance.below(3)) {
	case 0: return rule + (chance.below(3) ? " deny" : " deny notify=no");
	case 1:
		rule += " allow";
		if (target == "@default" || chance.below(4) == 0)
			rule += std::string(" target=") + chance.of(REDIRECTS);
		break;
	default:
		rule += " ask";
		if (chance.below(6) == 0) rule += std::string(" target=") + chance.of(REDIRECTS);
		if (chance.below(4) == 0) rule += std::string(" default_target=") + chance.of(REDIRECTS);
	}
	if (chance.below(8) == 0) rule += " autostart=no";
	if (chance.below(8) == 0) rule += " notify=yes";
	return rule;
}

} // namespace bulkhead::policy::test
