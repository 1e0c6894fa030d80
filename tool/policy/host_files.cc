#include "tool/policy/host_files.h"

#include "rpc/policy/policy.h"

#include <cerrno>
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace bulkhead::tool {

namespace {

Error error_of(int number)
{
	switch (number) {
	case ENOENT: return Error::NOT_FOUND;
	case ENOTDIR: return Error::NOT_FOUND;
	case EISDIR: return Error::NOT_FOUND;
	case EACCES: return Error::DENIED;
	case ENOMEM: return Error::OUT_OF_MEMORY;
	case ELOOP: return Error::TOO_MANY_LINKS;
	default: return Error::IO;
	}
}

/* Whether a name is that of a file, or of a link to one. */
bool file_at(int directory, char const *name)
{
	struct stat found{};
	return fstatat(directory, name, &found, 0) == 0 && S_ISREG(found.st_mode);
}

} // namespace

Attempt<void> Host_files::list(std::string_view directory, policy::Names &names)
{
	DIR *const listing = opendir(std::string(directory).c_str());
	if (!listing) return error_of(errno);
	Attempt<void> result = Ok{};
	errno = 0;
	while (dirent const *const entry = readdir(listing)) {
		if (file_at(dirfd(listing), entry->d_name)) result = names.name(entry->d_name);
		if (!result.ok()) break;
		errno = 0;
	}
	int const number = errno;
	closedir(listing);
	if (result.ok() && number) return error_of(number);
	return result;
}

Attempt<std::string_view> Host_files::read(std::string_view path)
{
	// A pipe or a device in place of a file would make us wait.
	int const file = open(std::string(path).c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (file < 0) return error_of(errno);
	struct stat found{};
	int number = 0;
	if (fstat(file, &found) != 0)
		number = errno;
	else if (!S_ISREG(found.st_mode))
		number = ENOENT;
	_text.clear();
	char part[16384];
	while (number == 0 && _text.size() <= policy::MOST_TEXT_BYTES) {
		ssize_t const size = ::read(file, part, sizeof(part));
		if (size < 0) number = errno;
		if (size <= 0) break;
		_text.append(part, static_cast<size_t>(size));
	}
	close(file);
	if (number) return error_of(number);
	return std::string_view(_text);
}

Sent_files::Texts const &Sent_files::_texts_of(std::string_view &path) const
{
	for (std::string_view const directory : {POLICY, COMPAT}) {
		bool const itself = path == directory;
		if (!itself && !(path.starts_with(directory) && path[directory.size()] == '/')) continue;
		path.remove_prefix(std::min(path.size(), directory.size() + 1));
		return directory == POLICY ? policy : compat;
	}
	return policy;
}

Attempt<void> Sent_files::list(std::string_view directory, policy::Names &names)
{
	Texts const &texts = _texts_of(directory);
	std::string const prefix = directory.empty() ? "" : std::string(directory) + "/";
	bool there = directory.empty();
	for (auto const &[path, text] : texts) {
		if (!path.starts_with(prefix)) continue;
		there = true;
		std::string_view const rest = std::string_view(path).substr(prefix.size());
		if (rest.find('/') == std::string_view::npos) TRY(names.name(rest));
	}
	if (!there) return Error::NOT_FOUND;
	return Ok{};
}

Attempt<std::string_view> Sent_files::read(std::string_view path)
{
	Texts const &texts = _texts_of(path);
	auto const found = texts.find(path);
	if (found == texts.end()) return Error::NOT_FOUND;
	return std::string_view(found->second);
}

} // namespace bulkhead::tool
