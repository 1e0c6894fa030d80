#pragma once

// One question whether a call may be made, from the question to the answer: the domains are looked
// up, the policy decides, a person is asked if it says so, the policy decides again.

#include "component/qrexec/policy_daemon/office.h"
#include "component/qrexec/policy_daemon/person.h"

#include <optional>

namespace bulkhead::qrexec {

/* What is asked. */
struct Asked
{
	std::string source{};
	std::string requested_source{}; // or empty
	std::string target{}; // may be empty
	std::string service{};
	std::string argument = "+"; // begins with "+"
	std::string as_written{}; // service and argument, as they came
	bool assume_yes = false;
	bool just_evaluate = false;
	// Only a domain may ask that is the GUI of both source and target; empty: anybody.
	std::string gui_domain{};
};

/* Of the loop's thread. */
class Question final : private System_source::Waiter, private Service_call::Finished
{
public:
	class Asker
	{
	protected:
		~Asker() = default;

	public:
		/* Nothing: who asks has no right to. The question may be destroyed here. */
		virtual void answered(std::string_view answer) = 0;
	};

private:
	Office &_office;
	Asker &_asker;
	Asked const _asked;
	std::optional<Service_call> _call{};
	std::optional<std::string> _chosen{};
	bool _counted = false;
	// Of the rule that had a person asked.
	std::string _place{};
	std::string _gui_domain{};
	std::string _source_name{};
	bool _notify = false;

	void system_known() override;
	void call_finished(std::string_view answer, std::string const &trouble) override;

	policy::Request _request() const;
	bool _permitted() const;
	void _decide(policy::Asker &asker);
	void _allow(policy::Asker &asker, policy::Verdict const &verdict);
	void _ask(policy::Asker &asker, policy::Verdict const &verdict);
	void _denied(policy::Asker &asker, policy::Verdict const &verdict);
	void _refuse(std::string const &why, bool notify);
	void _uncount();
	void _remember(policy::Asker const &asker, policy::Verdict const &verdict);
	void _log(Level level, std::string const &what) const;

public:
	Question(Office &office, Asker &asker, Asked asked);
	/* Withdraws it. */
	~Question();

	/* Once. The asker may be told in here. */
	void begin();
};

} // namespace bulkhead::qrexec
