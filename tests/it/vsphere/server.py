"""The local vSphere API server with faults, over plain HTTP: server.py DIRECTORY FOLDER [options of fake_vsphere.py]

DIRECTORY has fake_vsphere.py. The port is chosen by the system and printed. FOLDER/faults says what fails: lines of a
method (or `machine`, for an ID) and a mode; it is read for each call. FOLDER/calls gets a line for each call.
  fault:TYPE   a fault of this type
  denied       the property of a machine is in its missingSet (METHOD is `property`)
  hang, cut    no answer; the connection is closed
  hold         the answer waits until this line is gone
  raced        AddCustomFieldDef: another client has defined the attribute just before
  html         the page of a proxy
  empty        a response without a result
  once-fault:TYPE   the same as fault, at the first call
  task         `task METHOD N`: its tasks are not complete at the first N looks; `task METHOD fault:TYPE`: they fail
  gone         `machine ID gone`: reading this machine, alone or with others, is ManagedObjectNotFound
  host         `machine ID host`: the same, but its host is what is not found
"""
import gzip
import io
import json
import os
import re
import sys
import threading
import xml.etree.ElementTree as ET
from http.server import ThreadingHTTPServer

DIRECTORY, FOLDER = sys.argv[1:3]
sys.path.insert(0, DIRECTORY)
import fake_vsphere as fake  # noqa: E402

LOCK = threading.Lock()
OVER = threading.Event()


def faults():
    try:
        with open(os.path.join(FOLDER, "faults"), encoding="utf-8") as file:
            return [line.split() for line in file if line.strip()]
    except FileNotFoundError:
        return []


class Handler(fake.Handler):
    struck, fields, tasks = set(), set(), {}

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        method = fake.tag(next(e for e in ET.fromstring(body).iter() if fake.tag(e) == "Body")[0])
        self.rfile = io.BytesIO(body)
        with LOCK, open(os.path.join(FOLDER, "calls"), "a", encoding="utf-8") as file:
            file.write(method + "\n")
        mode = next((words[1] for words in faults() if words[0] == method), "")
        if mode.startswith("once-"):
            mode = "" if method in self.struck else mode.removeprefix("once-")
            self.struck.add(method)
        if mode.startswith("fault:"):
            if mode == "fault:NotAuthenticated":
                # Pages end with their session.
                self.sessions.clear()
                self.tokens.clear()
            self.fault(mode.removeprefix("fault:"), "told to")
        elif mode == "hang":
            OVER.wait(120)
        elif mode == "cut":
            self.close_connection = True
        elif mode == "empty":
            self.result(method)
        elif mode == "html":
            self.send("<html><body>Bad gateway</body></html>", 502)
        else:
            while mode == "hold" and [method, mode] in faults():
                OVER.wait(0.02)
            super().do_POST()
        # What was sent must not be read again.
        self.rfile = self.connection.makefile("rb", -1)

    def operation(self, method, this, call):
        if method == "AddCustomFieldDef":
            return self.define(method, fake.texts(call, "name")[0])
        if method in ("PowerOffVM_Task", "Destroy_Task") and this.text in self.machines:
            how = next((words[2] for words in faults() if words[:2] == ["task", method]), "0")
            name = f"task-{len(self.tasks) + 1}"
            self.tasks[name] = {"method": method, "machine": this, "fault": how.removeprefix("fault:"), "looks": 0}
            if not how.startswith("fault:"):
                self.tasks[name].update(fault="", looks=int(how))
            return self.result(method, f'<returnval type="Task">{name}</returnval>')
        gone = {words[1]: words[2:] for words in faults() if words[0] == "machine"}
        if method == "RetrievePropertiesEx" and gone and "VirtualMachine" in fake.texts(call, "type"):
            objects = [(e.get("type"), e.text) for e in call.iter() if fake.tag(e) == "obj"]
            for name in gone:
                if ("VirtualMachine", name) in objects or objects[0][0] == "ContainerView":
                    return self.gone("HostSystem", "host-1") if gone[name] == ["host"] else self.gone("VirtualMachine", name)
        return super().operation(method, this, call)

    def define(self, method, name):
        """A custom attribute of all machines. Its name is used once."""
        is_known, key = name in self.fields, str(100 + len(self.fields))
        self.fields.add(name)
        field = f"<CustomFieldDef><key>{key}</key><name>{fake.escape(name)}</name></CustomFieldDef>"
        for machine in self.machines.values() if not is_known else ():
            machine["availableField"] = machine["availableField"].replace("</val>", field + "</val>")
        if is_known or ["AddCustomFieldDef", "raced"] in faults():
            return self.fault("DuplicateName", f"The name '{fake.escape(name)}' already exists.")
        return self.result(method, f"<returnval><key>{key}</key><name>{fake.escape(name)}</name></returnval>")

    def select(self, call):
        """As before, and tasks that take time. What a task does is done when it has succeeded."""
        name = next((e.text for e in call.iter() if fake.tag(e) == "obj" and e.get("type") == "Task"), None)
        if name is None:
            return super().select(call)
        task, error = self.tasks[name], ""
        state = "running" if task["looks"] > 0 else "error" if task["fault"] else "success"
        task["looks"] -= 1
        if state == "success" and task["machine"].text in self.machines:
            sent, self.send = self.send, lambda *_, **__: None
            super().operation(task["method"], task["machine"], call)
            self.send = sent
        if state == "error":
            fault = f'<fault xsi:type="{task["fault"]}"/><localizedMessage>told to</localizedMessage>'
            error = f'<propSet><name>info.error</name><val xsi:type="LocalizedMethodFault">{fault}</val></propSet>'
        state = f'<propSet><name>info.state</name><val xsi:type="TaskInfoState">{state}</val></propSet>'
        return [f'<objects><obj type="Task">{name}</obj>{state}{error}</objects>']

    def page(self, method, objects, size):
        # Two clients may list at the same time, each with tokens of its own.
        size = min(size or 1 << 30, self.options.max_objects or 1 << 30)
        token = ""
        if len(objects) > size:
            key = fake.uuid.uuid4().hex
            self.tokens[key] = (objects[size:], size)
            token = f"<token>{key}</token>"
        return self.result(method, f"<returnval>{token}{''.join(objects[:size])}</returnval>" if objects else "")

    def gone(self, of, name):
        kind = "ManagedObjectNotFound"
        detail = f'<{kind}Fault xmlns="urn:vim25" xsi:type="{kind}"><obj type="{of}">{name}</obj></{kind}Fault>'
        fault = f"<faultcode>ServerFaultCode</faultcode><faultstring>gone</faultstring><detail>{detail}</detail>"
        return self.send(f"{fake.HEAD}<soapenv:Fault>{fault}</soapenv:Fault>{fake.TAIL}", 500)

    def machine(self, i, wanted):
        answer = super().machine(i, wanted)
        for words in faults():
            if words[0] == "property" and words[1] in wanted:
                answer = re.sub(f"<propSet><name>{re.escape(words[1])}</name>.*?</propSet>", "", answer)
                fault = '<fault><fault xsi:type="NoPermission"/></fault>'
                missing = f"<missingSet><path>{words[1]}</path>{fault}</missingSet>"
                answer = answer.replace("</objects>", missing + "</objects>")
        return answer


def main():
    import argparse

    parser = argparse.ArgumentParser()
    parser.add_argument("--max-objects", type=int, default=0)
    parser.add_argument("--no-config", default="")
    parser.add_argument("--template", default="")
    parser.add_argument("--scale", type=int, default=1)
    options = parser.parse_args(sys.argv[3:])
    with gzip.open(os.path.join(DIRECTORY, "inventory.json.gz"), "rt", encoding="utf-8") as file:
        recorded = json.load(file)
    fake.Handler.content, fake.Handler.login = recorded["service_content"], recorded["login"]
    fake.Handler.options = options
    for name, known in recorded["objects"].items():
        machine = name.split(":")[1]
        known = {k: v for k, v in known.items() if machine != options.no_config or not k.startswith("config")}
        if machine == options.template:
            known["config.template"] = "<val>true</val>"
        for n in range(options.scale):
            fake.Handler.machines[machine if n == 0 else f"{machine}0{n}"] = dict(known)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


main()
