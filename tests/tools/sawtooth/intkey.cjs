// A Sawtooth application as its documentation shows one, with the unmodified SDK: signs, and speaks REST and ZeroMQ.
// Arguments: the URLs of REST and of the validator. Prints a JSON document of what it saw.
'use strict'

// The SDK asks for zeromq 4; version 6 brings the old interface along, under another name.
const Module = require('module')
const load = Module._load
Module._load = (name, ...rest) => load.call(Module, name === 'zeromq' ? 'zeromq/v5-compat' : name, ...rest)

const { createHash } = require('crypto')
const { createContext, CryptoFactory } = require('sawtooth-sdk/signing')
const {
  Batch, BatchHeader, BatchList, ClientBatchStatusRequest, ClientBatchStatusResponse, ClientBatchSubmitRequest,
  ClientBatchSubmitResponse, ClientStateGetRequest, ClientStateGetResponse, Message, Transaction, TransactionHeader
} = require('sawtooth-sdk/protobuf')
const { Stream } = require('sawtooth-sdk/messaging/stream')

const [rest, validator] = process.argv.slice(2)
const context = createContext('secp256k1')
const signer = new CryptoFactory(context).newSigner(context.newRandomPrivateKey())
const sha512 = (data) => createHash('sha512').update(data).digest('hex')
const address = (name) => sha512('intkey').slice(0, 6) + sha512(name).slice(-64)
const text = (value) => Buffer.concat([Buffer.from([0x60 + value.length]), Buffer.from(value)])

// {"Verb", "Name", "Value"} in CBOR; the value is below 24.
const payload = (verb, name, value) => Buffer.concat(
  [Buffer.from([0xa3]), text('Verb'), text(verb), text('Name'), text(name), text('Value'), Buffer.from([value])])

function batch (verb, name, value) {
  const key = signer.getPublicKey().asHex()
  const data = payload(verb, name, value)
  const header = TransactionHeader.encode({
    familyName: 'intkey', familyVersion: '1.0', inputs: [address(name)], outputs: [address(name)],
    signerPublicKey: key, batcherPublicKey: key, dependencies: [], nonce: String(Math.random()),
    payloadSha512: sha512(data)
  }).finish()
  const transaction = Transaction.create({ header, headerSignature: signer.sign(header), payload: data })
  const batchHeader = BatchHeader.encode(
    { signerPublicKey: key, transactionIds: [transaction.headerSignature] }).finish()
  return Batch.create(
    { header: batchHeader, headerSignature: signer.sign(batchHeader), transactions: [transaction] })
}

async function overRest () {
  const body = BatchList.encode({ batches: [batch('set', 'js-rest', 7)] }).finish()
  const headers = { 'Content-Type': 'application/octet-stream' }
  const submitted = await fetch(`${rest}/batches`, { method: 'POST', headers, body })
  const { link } = await submitted.json()
  const status = await (await fetch(`${link}&wait=20`)).json()
  const state = await (await fetch(`${rest}/state/${address('js-rest')}`)).json()
  const wrong = await fetch(`${rest}/batches`, { method: 'POST', headers, body: Buffer.from([0x0a, 0xff]) })
  return {
    submitted: submitted.status,
    status: status.data[0].status,
    value: Buffer.from(state.data, 'base64').toString('hex'),
    wrong: (await wrong.json()).error.code
  }
}

async function overZeroMq () {
  const stream = new Stream(validator)
  await new Promise((resolve) => stream.connect(resolve))
  stream.onReceive(() => {})
  const ask = async (type, Request, fields, Response) =>
    Response.decode(await stream.send(type, Request.encode(Request.create(fields)).finish()))
  const types = Message.MessageType
  const made = batch('set', 'js-zmq', 9)
  const submitted = await ask(
    types.CLIENT_BATCH_SUBMIT_REQUEST, ClientBatchSubmitRequest, { batches: [made] }, ClientBatchSubmitResponse)
  const statuses = await ask(
    types.CLIENT_BATCH_STATUS_REQUEST, ClientBatchStatusRequest,
    { batchIds: [made.headerSignature], wait: true, timeout: 20 }, ClientBatchStatusResponse)
  const state = await ask(
    types.CLIENT_STATE_GET_REQUEST, ClientStateGetRequest, { address: address('js-zmq') }, ClientStateGetResponse)
  stream.close()
  return {
    submitted: submitted.status,
    status: statuses.batchStatuses[0].status,
    value: Buffer.from(state.value).toString('hex')
  }
}

async function main () {
  const seen = { rest: await overRest(), zmq: await overZeroMq() }
  console.log(JSON.stringify(seen))
  process.exit(0)
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
