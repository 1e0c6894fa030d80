#pragma once

// Which users may be which domain: what the file `domains` of a directory says. A line is a domain
// id and the users, as numbers or names, that may act as it; `#` begins a comment.
//
//	# work and its TPM
//	5  alice
//	7  tpm 1203

#include <map>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

namespace bulkhead::linux_host {

class Access_rules
{
private:
	/* The line that has said who may be a domain. */
	struct Rule
	{
		unsigned line;
		std::vector<uid_t> users;
	};

	std::map<int, Rule> _rules{};
	bool _given = false;

public:
	static constexpr size_t LINE_MAX_BYTES = 4096;

	/* What a line has wrong, and what can be done. */
	struct Fault
	{
		unsigned line; // from 1
		std::string text; // printable, whatever the file holds
	};

	/* A user's number, or false: the default asks the system's user database. */
	using Lookup = bool (*)(std::string const &name, uid_t &user);

	/*
	 * Replaces the rules by those of a text. Returns all that is wrong with it, in the order of its
	 * lines; empty if nothing is. With a fault anywhere nobody may be anything.
	 */
	std::vector<Fault> read(std::string_view text, Lookup = nullptr);

	/*
	 * Whether this user may act as this domain. Without rules, only who is the same user as this
	 * process (effective id); with rules, only who is listed. Nobody whom the kernel has no number
	 * for (distinct_user.h).
	 */
	bool allows(int domain, uid_t user) const;

	/* Whether anybody but this process's user may act as this domain. */
	bool allows_others(int domain) const;
};

} // namespace bulkhead::linux_host
