#include "tool/policy/eval.h"

#include "rpc/policy/text/verdict_text.h"
#include "tool/policy/setting.h"

#include <fmt/format.h>
#include <iostream>

namespace bulkhead::tool {

namespace {

using Json = nlohmann::ordered_json;
using policy::Action;

// The daemon reads no more.
constexpr size_t RESPONSE_MAX = 4096;

/* One question: its policy, its system, its request. Throws what nlohmann-json throws. */
class Question
{
private:
	linux_host::Heap _heap{};
	nlohmann::json const &_json;
	std::string _service, _argument, _source, _target, _requested_source;
	Owned<policy::Policy> _policy{};
	Owned<policy::System> _system{};
	Owned<policy::Asker> _asker{};

	void _load()
	{
		nlohmann::json const &from = _json.at("policy");
		Sent_files files;
		if (from.contains("compat")) from.at("compat").get_to(files.compat);
		bool const all = from.contains("dir_files");
		from.at(all ? "dir_files" : "files").get_to(files.policy);
		std::optional<std::string> const file =
			all ? std::nullopt : std::optional(from.at("main").get<std::string>());
		std::string_view const directories[] = {Sent_files::POLICY};
		_policy = got(policy::Policy::load(_heap, files, directories, Sent_files::COMPAT, file));
	}

	static std::string _text(nlohmann::json const &from, char const *key)
	{
		auto const found = from.find(key);
		return found == from.end() || found->is_null() ? std::string() : found->get<std::string>();
	}

	void _read_request()
	{
		nlohmann::json const &from = _json.at("request");
		_service = from.at("service").get<std::string>();
		_argument = from.at("argument").get<std::string>();
		_source = from.at("source").get<std::string>();
		_target = _text(from, "target");
		_requested_source = _text(from, "requested_source");
	}

	policy::Request _request() const
	{
		return {_service, _argument, _source, _target, _requested_source};
	}

	std::string _named(policy::Destination const &destination) const
	{
		std::string text(RESPONSE_MAX, '\0');
		Text_writer writer{std::span<char>(text)};
		_asker->write(writer, destination);
		return std::string(writer.text());
	}

	Json _rule(policy::Rule const &rule) const
	{
		Json json{{"lineno", nullptr}, {"filepath", base_name(*_policy, rule.place.file)}};
		if (rule.place.line) json["lineno"] = rule.place.line;
		return json;
	}

	Json _response(policy::Verdict const &verdict) const
	{
		if (_asker->call_fault(verdict) != policy::Call_fault::OK) return nullptr;
		std::string text(RESPONSE_MAX, '\0');
		Text_writer writer{std::span<char>(text)};
		_asker->write_response(writer, _request(), verdict);
		return writer.cut() ? Json(nullptr) : Json(std::string(writer.text()));
	}

	void _allow(Json &json, policy::Verdict const &verdict) const
	{
		json["result"] = "allow";
		json["target"] = _named(verdict.target);
	}

	void _ask(Json &json, policy::Verdict const &verdict) const
	{
		std::vector<std::string> choices;
		_asker->for_each_choice(
			[&](policy::Destination const &choice) { choices.push_back(_named(choice)); });
		std::ranges::sort(choices);
		json["result"] = "ask";
		json["targets_for_ask"] = choices;
		json["default_target"] = nullptr;
		if (verdict.target.kind != policy::Destination::Kind::DEFAULT)
			json["default_target"] = _named(verdict.target);
	}

	void _answer(Json &json) const
	{
		policy::Verdict const verdict = _asker->evaluate(_request());
		if (verdict.denial >= policy::Denial::SOURCE_UNKNOWN) {
			json["result"] = "request_error";
			return;
		}
		if (verdict.action == Action::DENY) {
			json["result"] = "deny";
			json["notify"] = verdict.notify;
			return;
		}
		policy::Rule const &rule = _policy->rules()[verdict.rule];
		if (verdict.action == Action::ALLOW)
			_allow(json, verdict);
		else
			_ask(json, verdict);
		json["user"] = rule.user ? Json(*rule.user) : Json(nullptr);
		json["autostart"] = verdict.autostart;
		json["notify"] = verdict.notify;
		json["rule"] = _rule(rule);
		if (verdict.action == Action::ALLOW) json["response"] = _response(verdict);
	}

public:
	explicit Question(nlohmann::json const &json) : _json(json) {}

	void answer(Json &json)
	{
		_load();
		if (_policy->broken()) {
			uint32_t const line = _policy->faults()[0].place.line;
			json["result"] = "syntax_error";
			json["lineno"] = line ? Json(line) : Json(nullptr);
			return;
		}
		_read_request();
		if (!_argument.starts_with('+')) {
			json["error"] = "an argument begins with +";
			return;
		}
		auto made = Described_domains(_json.at("system")).make(_heap);
		if (!made.ok() && made.error() == Error::EXISTS) {
			json["error"] = "two domains have one name";
			return;
		}
		_system = got(std::move(made));
		_asker = got(policy::Asker::create(_heap, *_policy, *_system));
		_answer(json);
	}
};

} // namespace

std::string evaluate_line(std::string_view line)
{
	Json answer{{"id", nullptr}};
	try {
		nlohmann::json const question = nlohmann::json::parse(line);
		if (question.is_object() && question.contains("id")) answer["id"] = question.at("id");
		std::string const op = question.at("op").get<std::string>();
		if (op == "evaluate")
			Question(question).answer(answer);
		else
			answer["error"] = fmt::format("there is no op '{}'; there is 'evaluate'", op);
	} catch (nlohmann::json::exception const &error) {
		answer["error"] = error.what();
	}
	return answer.dump(-1, ' ', false, Json::error_handler_t::replace);
}

int evaluate_lines(std::istream &from, std::ostream &to)
{
	for (std::string line; std::getline(from, line);) {
		if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
		to << evaluate_line(line) << '\n' << std::flush;
		if (!to) return static_cast<int>(Exit::FAILURE);
	}
	return static_cast<int>(Exit::OK);
}

} // namespace bulkhead::tool
