#include "platform/linux/vchan/access_rules.h"

#include "platform/linux/vchan/distinct_user.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <limits>
#include <optional>
#include <pwd.h>
#include <unistd.h>
#include <utility>

namespace bulkhead::linux_host {

namespace {

constexpr std::string_view BLANK = " \t";
constexpr size_t QUOTED_MAX_BYTES = 40;
constexpr uint32_t DOMAIN_MAX = std::numeric_limits<int>::max();
constexpr uint32_t USER_MAX = std::numeric_limits<uid_t>::max() - 1; // the maximum is "no user"

bool known_to_system(std::string const &name, uid_t &user)
{
	// Entries have no greatest size that could be asked for.
	for (size_t size = 1024; size <= 1024 * 1024; size *= 4) {
		std::vector<char> strings(size);
		passwd entry{};
		passwd *found = nullptr;
		int const failed = getpwnam_r(name.c_str(), &entry, strings.data(), size, &found);
		if (failed == ERANGE) continue;
		if (failed != 0 || !found) return false;
		user = found->pw_uid;
		return true;
	}
	return false;
}

/* A word of the file as a message may show it. */
std::string quoted(std::string_view word)
{
	constexpr char DIGITS[] = "0123456789abcdef";
	std::string text = "'";
	for (char const c : word.substr(0, QUOTED_MAX_BYTES)) {
		auto const byte = static_cast<unsigned char>(c);
		if (byte >= 0x20 && byte < 0x7f)
			text += c;
		else
			text.append("\\x").append({DIGITS[byte >> 4], DIGITS[byte & 15]});
	}
	return text + (word.size() > QUOTED_MAX_BYTES ? "…'" : "'");
}

/* Takes the first of a row of words off; empty when there is none left. */
std::string_view take_word(std::string_view &line)
{
	line.remove_prefix(std::min(line.find_first_not_of(BLANK), line.size()));
	std::string_view const word = line.substr(0, line.find_first_of(BLANK));
	line.remove_prefix(word.size());
	return word;
}

bool digits_only(std::string_view word)
{
	return word.find_first_not_of("0123456789") == std::string_view::npos;
}

/* The value of a row of digits, if it isn't above `most`. */
std::optional<uint32_t> number(std::string_view digits, uint32_t most)
{
	uint32_t value = 0;
	auto const end = digits.data() + digits.size();
	auto const [rest, error] = std::from_chars(digits.data(), end, value);
	if (error != std::errc{} || rest != end || value > most) return std::nullopt;
	return value;
}

bool control(char c)
{
	auto const byte = static_cast<unsigned char>(c);
	return (byte < 0x20 && c != '\t') || byte == 0x7f;
}

std::string range_text(char const *what, std::string_view word, uint32_t most)
{
	return std::string(what) + ' ' + quoted(word) + " is out of range: 0 to " +
		std::to_string(most);
}

/* What makes a line unreadable as a whole, or nothing. */
std::string damage(std::string_view line)
{
	if (line.size() > Access_rules::LINE_MAX_BYTES)
		return "the line is longer than " + std::to_string(Access_rules::LINE_MAX_BYTES) +
			" bytes: list fewer users";
	auto const odd = std::ranges::find_if(line, control);
	if (odd == line.end()) return {};
	return "there is a control character, " + quoted({odd, 1}) +
		", where only text may be: remove it";
}

/* The user that a word stands for; otherwise the fault. */
std::optional<uid_t> user_of(std::string_view word, Access_rules::Lookup lookup, std::string &fault)
{
	if (digits_only(word)) {
		auto const user = number(word, USER_MAX);
		if (!user) fault = range_text("user", word, USER_MAX);
		return user;
	}
	uid_t user = 0;
	if (lookup(std::string(word), user)) return user;
	fault = "user " + quoted(word) + " isn't known here: create it, or give the number of another";
	return std::nullopt;
}

/* The domain that a line is about; otherwise the fault. */
std::optional<int> domain_of(std::string_view word, std::string &fault)
{
	if (!digits_only(word)) {
		fault = quoted(word) +
			" is no domain id: write a number, then the users that may act as it, as in '5 alice'";
		return std::nullopt;
	}
	auto const domain = number(word, DOMAIN_MAX);
	if (domain) return static_cast<int>(*domain);
	fault = range_text("domain", word, DOMAIN_MAX);
	return std::nullopt;
}

} // namespace

std::vector<Access_rules::Fault> Access_rules::read(std::string_view text, Lookup lookup)
{
	if (!lookup) lookup = known_to_system;
	_given = true;
	_rules.clear();
	std::vector<Fault> faults;
	for (unsigned at = 1; !text.empty(); ++at) {
		size_t const end = std::min(text.find('\n'), text.size());
		std::string_view line = text.substr(0, end);
		text.remove_prefix(std::min(end + 1, text.size()));
		if (line.ends_with('\r')) line.remove_suffix(1);
		if (std::string bad = damage(line); !bad.empty()) {
			faults.push_back({at, std::move(bad)});
			continue;
		}
		line = line.substr(0, line.find('#'));
		std::string_view const first = take_word(line);
		if (first.empty()) continue;

		std::string fault;
		auto const domain = domain_of(first, fault);
		if (!domain) faults.push_back({at, std::move(fault)});
		Rule rule{at, {}};
		unsigned users = 0;
		for (auto word = take_word(line); !word.empty(); word = take_word(line)) {
			++users;
			if (auto const user = user_of(word, lookup, fault))
				rule.users.push_back(*user);
			else
				faults.push_back({at, std::move(fault)});
		}
		if (!domain) continue;
		std::string const name = "domain " + std::to_string(*domain);
		if (users == 0)
			faults.push_back(
				{at, name + " has no users: name those that may act as it, or remove the line"});
		auto const [known, added] = _rules.try_emplace(*domain, std::move(rule));
		if (!added)
			faults.push_back({at,
				name + " is on line " + std::to_string(known->second.line) +
					" already: put all of its users there"});
	}
	if (!faults.empty()) _rules.clear();
	return faults;
}

bool Access_rules::allows(int domain, uid_t user) const
{
	if (!distinct_user(user)) return false;
	if (!_given) return user == geteuid();
	auto const found = _rules.find(domain);
	return found != _rules.end() && std::ranges::count(found->second.users, user) != 0;
}

bool Access_rules::allows_others(int domain) const
{
	auto const found = _rules.find(domain);
	uid_t const own = geteuid();
	return found != _rules.end() &&
		std::ranges::any_of(found->second.users, [&](uid_t user) { return user != own; });
}

} // namespace bulkhead::linux_host
