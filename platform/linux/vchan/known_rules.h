#pragma once

// The access rules that this process has read last, for as long as the file is the same: who makes
// many channels would read and look up the same users for each.

#include "platform/linux/vchan/access_rules.h"

#include <memory>
#include <sys/stat.h>

namespace bulkhead::linux_host {

/*
 * What rules depend on besides users' names: the file, its directory and who reads it. Rules are
 * known for a second at most, as nothing tells when the users' names change.
 */
class Rules_origin
{
private:
	struct stat _directory;
	struct stat _file;
	uid_t _user;

public:
	/* As `fstat` of the directory and of the file in it has them. */
	Rules_origin(struct stat const &directory, struct stat const &file);

	/* True of a file that may change without a change of its times, as it has just been changed. */
	bool recent() const;

	bool operator==(Rules_origin const &) const;
};

/* The rules of this origin if they are known; else null. Of any thread. */
std::shared_ptr<Access_rules const> known_rules(Rules_origin const &);
void remember_rules(Rules_origin const &, std::shared_ptr<Access_rules const>);

} // namespace bulkhead::linux_host
